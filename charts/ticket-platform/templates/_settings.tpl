{{- /* What a process is told: a settings file, and the secrets and files that it names. A process gets what it uses. */}}

{{- /* "yes" if the component uses settings, secrets and files of this key. Keys of no group are everybody's. */}}
{{- define "ticket-platform.uses" -}}
{{- $servers := list "database-" "kafka-" "redis-" -}}
{{- $groups := dict
  "operator" $servers
  "migrate" (list "database-")
  "api" (concat $servers (list "api-" "buyer-" "payments-" "webhook-"))
  "admin" (concat $servers (list "admin-" "payments-"))
  "processor" $servers
  "payments" (concat $servers (list "payments-"))
  "keeper" $servers
  "notifier" $servers
  "sync" $servers
  "sandbox" (list "webhook-") -}}
{{- $uses := true -}}
{{- range $group := list "admin-" "api-" "buyer-" "database-" "kafka-" "payments-" "redis-" "webhook-" -}}
{{- if hasPrefix $group $.key -}}
{{- $uses = has $group (index $groups $.component) -}}
{{- end -}}
{{- end -}}
{{- if $uses }}yes{{ end -}}
{{- end }}

{{- /* Settings that the chart knows best. */}}
{{- define "ticket-platform.own" -}}
{{- $root := .root -}}
{{- $name := include "ticket-platform.fullname" $root -}}
{{- $roles := $root.Values.runtime.roles -}}
{{- $listen := $root.Values.listenAddress -}}
{{- if has .component (list "operator" "api" "admin" "processor" "payments" "keeper" "notifier" "sync") }}
metrics-listen: {{ printf "%s:9400" $listen | quote }}
{{- end }}
{{- if eq .component "operator" }}
lease-namespace: {{ $root.Release.Namespace | quote }}
lease-name: {{ printf "%s-operator" $name | quote }}
{{- with include "ticket-platform.watched" $root }}
namespace: {{ . | quote }}
{{- end }}
{{- end }}
{{- if eq .component "api" }}
api-listen: {{ printf "%s:8080" $listen | quote }}
{{- end }}
{{- if eq .component "admin" }}
admin-listen: {{ printf "%s:8080" $listen | quote }}
{{- if $roles.admin.kubernetesTokens }}
admin-jwks: https://kubernetes.default.svc/openid/v1/jwks
admin-jwks-ca-file: /run/ticket/kubernetes/ca.crt
admin-jwks-token-file: /run/ticket/kubernetes/token
admin-viewers: [{{ printf "system:serviceaccount:%s:%s-admin-viewer" $root.Release.Namespace $name | quote }}]
admin-managers: [{{ printf "system:serviceaccount:%s:%s-admin-manager" $root.Release.Namespace $name | quote }}]
{{- end }}
{{- end }}
{{- if eq .component "sandbox" }}
sandbox-listen: {{ printf "%s:8080" $listen | quote }}
webhook-url: {{ printf "http://%s-api:%v/v1/webhooks/stripe" $name $roles.api.service.port | quote }}
{{- else if $roles.sandbox.enabled }}
payments-url: {{ printf "http://%s-sandbox:%v" $name $roles.sandbox.service.port | quote }}
{{- end }}
{{- end }}

{{- /* The settings file (TOML). Later layers win key by key; a JSON value is a TOML value. */}}
{{- define "ticket-platform.settings" -}}
{{- $given := .root.Values -}}
{{- $layers := list (include "ticket-platform.own" . | fromYaml) $given.settings -}}
{{- if eq .program "runtime" -}}
{{- $layers = append $layers $given.runtime.settings -}}
{{- end -}}
{{- $layers = append $layers .values.settings -}}
{{- $all := dict -}}
{{- range $layer := $layers -}}
{{- range $key, $value := $layer -}}
{{- if and (not (kindIs "invalid" $value)) (include "ticket-platform.uses" (dict "key" $key "component" $.component)) -}}
{{- $_ := set $all $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := $given.files -}}
{{- if include "ticket-platform.uses" (dict "key" $key "component" $.component) -}}
{{- $_ := set $all $key (printf "/run/ticket/files/%s" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := $given.secrets -}}
{{- if include "ticket-platform.uses" (dict "key" $key "component" $.component) -}}
{{- $_ := set $all (printf "%s-file" $key) (printf "/run/ticket/secrets/%s" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $all -}}
{{ $key }} = {{ toJson $value }}
{{ end -}}
{{- end }}

{{- /* Sources of the volume with the secrets that the component uses. */}}
{{- define "ticket-platform.secretsources" -}}
{{- range $key, $from := .root.Values.secrets }}
{{- if include "ticket-platform.uses" (dict "key" $key "component" $.component) }}
- secret:
    name: {{ $from.name }}
    items: [{ key: {{ $from.key | quote }}, path: {{ $key }} }]
{{- end }}
{{- end }}
{{- end }}

{{- /* The same for files. */}}
{{- define "ticket-platform.filesources" -}}
{{- range $key, $from := .root.Values.files }}
{{- if include "ticket-platform.uses" (dict "key" $key "component" $.component) }}
- {{ ternary "configMap" "secret" (eq $from.kind "ConfigMap") }}:
    name: {{ $from.name }}
    items: [{ key: {{ $from.key | quote }}, path: {{ $key }} }]
{{- end }}
{{- end }}
{{- end }}
