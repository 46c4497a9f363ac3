{{- /* The components of the release as YAML: {items: [{component, program, ports, args}]}. Everything that exists once per
component ranges over it: settings, service account, budget, policy. */}}
{{- define "ticket-platform.components" -}}
items:
{{- if .Values.operator.enabled }}
  - { component: operator, program: operator, ports: { metrics: 9400 }, args: [] }
{{- end }}
{{- range $role := list "api" "admin" "processor" "payments" "keeper" "notifier" "sync" "sandbox" }}
{{- if (index $.Values.runtime.roles $role).enabled }}
  - component: {{ $role }}
    program: runtime
    args: [{{ $role }}]
    ports:
      {{- if has $role (list "api" "admin" "sandbox") }}
      http: 8080
      {{- end }}
      {{- if ne $role "sandbox" }}
      metrics: 9400
      {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The values of a component. */}}
{{- define "ticket-platform.values" -}}
{{- if eq .component "operator" -}}
{{- toYaml .root.Values.operator -}}
{{- else if eq .component "migrate" -}}
{{- toYaml .root.Values.migration -}}
{{- else -}}
{{- toYaml (index .root.Values.runtime.roles .component) -}}
{{- end -}}
{{- end }}

{{- /* A component that listens to people is ready once it listens: when a server behind it is down it says so (503 with
Retry-After), which is worth more than a refused connection. All others are ready when their servers answer, which holds
a rollout and the eviction of pods. */}}
{{- define "ticket-platform.probes" -}}
{{- $alive := ternary "metrics" "http" (hasKey .ports "metrics") -}}
livenessProbe:
  httpGet: { path: /livez, port: {{ $alive }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  {{- if .ports.http }}
  httpGet: { path: /livez, port: http }
  {{- else }}
  httpGet: { path: /readyz, port: metrics }
  {{- end }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}
