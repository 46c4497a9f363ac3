{{- define "ticket-crds.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: ticket-platform
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* What the generated templates put into the metadata of a definition. */}}
{{- define "ticket-crds.metadata" -}}
labels:
  {{- include "ticket-crds.labels" . | nindent 2 }}
{{- if .Values.keep }}
annotations:
  # Without a definition its objects are gone, and with them the sales.
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}
