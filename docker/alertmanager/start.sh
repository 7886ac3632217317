#!/bin/sh
# Alertmanager reads no environment: what it is told there is written into its configuration before it starts.
# Its own options are passed on.
set -eu
umask 077
folder=$(mktemp -d)

quoted() {
  printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"
}

webhook() {
  printf %s "$ALERTMANAGER_WEBHOOK_URL" >"$folder/webhook_url"
  echo "    webhook_configs:"
  echo "      - url_file: $folder/webhook_url"
}

mail() {
  printf %s "$SMTP_PASSWORD" >"$folder/smtp_password"
  echo "    email_configs:"
  echo "      - to: $(quoted "$ALERTMANAGER_MAIL_TO")"
  echo "        from: $(quoted "$SMTP_SENDER")"
  echo "        smarthost: $(quoted "$SMTP_HOST:${SMTP_PORT:-587}")"
  if [ -n "$SMTP_USER" ]; then
    echo "        auth_username: $(quoted "$SMTP_USER")"
    echo "        auth_password_file: $folder/smtp_password"
  fi
}

if [ -n "$ALERTMANAGER_MAIL_TO" ] && { [ -z "$SMTP_HOST" ] || [ -z "$SMTP_SENDER" ]; }; then
  echo "ALERTMANAGER_MAIL_TO takes a mail server: set RUNMETER_SMTP_HOST and RUNMETER_SMTP_SENDER in docker/.env" >&2
  exit 1
fi
if [ -z "$ALERTMANAGER_WEBHOOK_URL$ALERTMANAGER_MAIL_TO" ]; then
  echo "nobody is told of alerts: set ALERTMANAGER_WEBHOOK_URL or ALERTMANAGER_MAIL_TO in docker/.env" >&2
fi
{
  echo "route: {receiver: operators, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 4h}"
  echo "receivers:"
  echo "  - name: operators"
  if [ -n "$ALERTMANAGER_WEBHOOK_URL" ]; then webhook; fi
  if [ -n "$ALERTMANAGER_MAIL_TO" ]; then mail; fi
} >"$folder/alertmanager.yml"
exec alertmanager --config.file="$folder/alertmanager.yml" "$@"
