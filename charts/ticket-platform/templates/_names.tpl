{{- /* Names and labels. A component is the operator, the migration or a role of the runtime. */}}

{{- define "ticket-platform.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough that the longest component still fits a label: 63 characters. */}}
{{- define "ticket-platform.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- $name := include "ticket-platform.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ticket-platform.labels" -}}
app.kubernetes.io/name: {{ include "ticket-platform.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: ticket-platform
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Never changes: selectors cannot be changed by an upgrade. */}}
{{- define "ticket-platform.selector" -}}
app.kubernetes.io/name: {{ include "ticket-platform.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* Objects of the cluster carry the namespace, so that two releases do not meet. */}}
{{- define "ticket-platform.clustername" -}}
{{- printf "%s:%s" .Release.Namespace (include "ticket-platform.fullname" .) }}
{{- end }}

{{- /* Where the operator looks; empty: everywhere. */}}
{{- define "ticket-platform.watched" -}}
{{- if eq .Values.operator.scope "Namespace" -}}
{{- default .Release.Namespace .Values.operator.namespace }}
{{- end -}}
{{- end }}

{{- /* Name, namespace and labels of a component's object. */}}
{{- define "ticket-platform.metadata" -}}
name: {{ include "ticket-platform.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "ticket-platform.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "ticket-platform.image" -}}
{{- $image := .root.Values.image -}}
{{- $program := index $image .program -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $program.name -}}
{{- if $program.digest }}@{{ $program.digest }}{{ else }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end }}
{{- end }}
