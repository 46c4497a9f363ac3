{{- /* What a release cannot do without, all at once. A rule over several values stands here, all others in the schema. */}}
{{- define "ticket-platform.checks" -}}
{{- $problems := list -}}
{{- $given := .Values -}}
{{- $roles := $given.runtime.roles -}}
{{- $needs := dict
  "settings.kafka-brokers" (index $given.settings "kafka-brokers")
  "secrets.database-url" (index $given.secrets "database-url")
  "secrets.redis-url" (index $given.secrets "redis-url") -}}
{{- $means := dict
  "settings.kafka-brokers" "the brokers to begin with, HOST:PORT,.."
  "secrets.database-url" "{name, key} of the Secret with PostgreSQL's address, postgres://user:password@host:port/database"
  "secrets.redis-url" "{name, key} of the Secret with Redis' address, redis://user:password@host:port" -}}
{{- range $value, $said := $needs -}}
{{- if not $said -}}
{{- $problems = append $problems (printf "%s: say %s" $value (index $means $value)) -}}
{{- end -}}
{{- end -}}
{{- if $roles.api.enabled -}}
{{- $layers := list $given.runtime.settings $roles.api.settings $given.files $given.secrets -}}
{{- $known := false -}}
{{- range $layer := $layers -}}
{{- $known = or $known (hasKey $layer "buyer-jwt-secret") (hasKey $layer "buyer-jwks") -}}
{{- end -}}
{{- if not $known -}}
{{- $problems = append $problems "secrets.buyer-jwt-secret: say {name, key} of the Secret that signs buyers' tokens, or set runtime.settings.buyer-jwks" -}}
{{- end -}}
{{- end -}}
{{- if and (or $roles.api.enabled $roles.sandbox.enabled) (not (index $given.secrets "webhook-secret")) -}}
{{- $problems = append $problems "secrets.webhook-secret: say {name, key} of the Secret that signs the payment provider's webhooks" -}}
{{- end -}}
{{- if and (or $roles.admin.enabled $roles.payments.enabled) (not $roles.sandbox.enabled) -}}
{{- $said := true -}}
{{- range $role := list "admin" "payments" -}}
{{- $component := index $roles $role -}}
{{- if $component.enabled -}}
{{- $said = and $said (or (index $given.runtime.settings "payments-url") (index $component.settings "payments-url")) -}}
{{- end -}}
{{- end -}}
{{- if not $said -}}
{{- $problems = append $problems "runtime.settings.payments-url: say the payment provider's address, or set runtime.roles.sandbox.enabled to try the platform" -}}
{{- end -}}
{{- end -}}
{{- if and $roles.admin.enabled (not $roles.admin.kubernetesTokens) (not (index $given.secrets "admin-token")) -}}
{{- $layers := list $given.runtime.settings $roles.admin.settings $given.files -}}
{{- $known := false -}}
{{- range $layer := $layers -}}
{{- $known = or $known (hasKey $layer "admin-jwks") -}}
{{- end -}}
{{- if not $known -}}
{{- $problems = append $problems "secrets.admin-token: say {name, key} of the Secret with the managers' token, or set runtime.roles.admin.kubernetesTokens" -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := $given.secrets -}}
{{- if or (hasKey $given.settings $key) (hasKey $given.runtime.settings $key) (hasKey $given.files $key) -}}
{{- $problems = append $problems (printf "secrets.%s: is also a setting or a file; keep one of the two" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := $given.files -}}
{{- if or (hasKey $given.settings $key) (hasKey $given.runtime.settings $key) -}}
{{- $problems = append $problems (printf "files.%s: is also a setting; keep one of the two" $key) -}}
{{- end -}}
{{- end -}}
{{- if and (not (eq $given.operator.scope "Namespace")) $given.operator.namespace -}}
{{- $problems = append $problems "operator.namespace: counts only with operator.scope Namespace; set that, or leave it out" -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nthese values cannot be used:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end }}
