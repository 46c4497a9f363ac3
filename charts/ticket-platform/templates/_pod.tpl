{{- /* The pod of a component: root, component, program (operator or runtime), values, args, ports {name: number}. */}}
{{- define "ticket-platform.pod" -}}
{{- $root := .root -}}
{{- $name := include "ticket-platform.fullname" $root -}}
{{- $pod := $root.Values.pod -}}
{{- $own := .values.pod | default dict -}}
{{- $secrets := include "ticket-platform.secretsources" . -}}
{{- $files := include "ticket-platform.filesources" . -}}
{{- $isOperator := eq .component "operator" -}}
{{- $readsKeys := and (eq .component "admin") $root.Values.runtime.roles.admin.kubernetesTokens -}}
metadata:
  labels:
    {{- range $key, $value := merge (dict) ($own.labels | default dict) $pod.labels }}
    {{ $key }}: {{ $value | quote }}
    {{- end }}
    {{- include "ticket-platform.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  annotations:
    # A pod reads its settings when it starts.
    checksum/settings: {{ include "ticket-platform.settings" . | sha256sum }}
    {{- range $key, $value := merge (dict) ($own.annotations | default dict) $pod.annotations }}
    {{ $key }}: {{ $value | quote }}
    {{- end }}
spec:
  serviceAccountName: {{ $name }}-{{ .component }}
  # Only the operator talks to the API server.
  automountServiceAccountToken: {{ $isOperator }}
  enableServiceLinks: false
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  securityContext: {{ toJson (default $pod.securityContext $own.securityContext) }}
  {{- with default $pod.nodeSelector $own.nodeSelector }}
  nodeSelector: {{ toJson . }}
  {{- end }}
  {{- with default $pod.tolerations $own.tolerations }}
  tolerations: {{ toJson . }}
  {{- end }}
  {{- with default $pod.affinity $own.affinity }}
  affinity: {{ toJson . }}
  {{- end }}
  {{- with default $pod.priorityClassName $own.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if eq .component "migrate" }}
  restartPolicy: Never
  {{- else }}
  topologySpreadConstraints:
    {{- with default $pod.topologySpreadConstraints $own.topologySpreadConstraints }}
    {{- range . }}
    {{- $spread := deepCopy . }}
    {{- if not $spread.labelSelector }}
    {{- $_ := set $spread "labelSelector" (dict "matchLabels" (include "ticket-platform.selector" $ | fromYaml)) }}
    {{- end }}
    - {{ toJson $spread }}
    {{- end }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ticket-platform.selector" . | nindent 10 }}
    {{- end }}
  terminationGracePeriodSeconds: {{ include "ticket-platform.grace" . }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "ticket-platform.image" . }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ toJson (append .args "--config=/run/ticket/config/settings.toml") }}
      {{- if $isOperator }}
      env:
        - name: TICKET_IDENTITY
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
      {{- end }}
      {{- with .ports }}
      ports:
        {{- range $port, $number := . }}
        - { name: {{ $port }}, containerPort: {{ $number }}, protocol: TCP }
        {{- end }}
      {{- end }}
      {{- with .probes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- if .ports.http }}
      lifecycle:
        preStop: { sleep: { seconds: {{ $root.Values.runtime.endpointsLagSeconds }} } }
      {{- end }}
      resources: {{ toJson .values.resources }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: config, mountPath: /run/ticket/config, readOnly: true }
        {{- if $secrets }}
        - { name: secrets, mountPath: /run/ticket/secrets, readOnly: true }
        {{- end }}
        {{- if $files }}
        - { name: files, mountPath: /run/ticket/files, readOnly: true }
        {{- end }}
        {{- if $readsKeys }}
        - { name: kubernetes, mountPath: /run/ticket/kubernetes, readOnly: true }
        {{- end }}
  # Mode 288 is 0440, which readers of YAML 1.2 take for a decimal.
  volumes:
    - name: config
      configMap: { name: {{ $name }}-{{ .component }} }
    {{- with $secrets }}
    - name: secrets
      projected:
        defaultMode: 288
        sources:
          {{- . | trim | nindent 10 }}
    {{- end }}
    {{- with $files }}
    - name: files
      projected:
        defaultMode: 288
        sources:
          {{- . | trim | nindent 10 }}
    {{- end }}
    {{- if $readsKeys }}
    # For the keys of the cluster's tokens, which every service account may read.
    - name: kubernetes
      projected:
        defaultMode: 288
        sources:
          - serviceAccountToken: { path: token, expirationSeconds: 3600 }
          - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
    {{- end }}
{{- end }}

{{- /* The longest end of a pod, seconds: what it gives itself, before that the endpoints' lag, and some room. */}}
{{- define "ticket-platform.grace" -}}
{{- if eq .program "operator" -}}
30
{{- else -}}
{{- $drain := 20 -}}
{{- range $layer := list .root.Values.runtime.settings .values.settings -}}
{{- $drain = get ($layer | default dict) "drain-s" | default $drain -}}
{{- end -}}
{{- add $drain .root.Values.runtime.endpointsLagSeconds 5 -}}
{{- end -}}
{{- end }}
