#!/bin/sh
# After the files are in place. A running service is not restarted: that would close clients' connections at a moment
# that nobody has chosen. It goes on as the earlier version until: systemctl restart tandem
set -e

if [ "$1" = configure ]; then
  systemd-sysusers tandem.conf >/dev/null 2>&1 || true
  if ! getent passwd tandem >/dev/null; then
    useradd --system --user-group --no-create-home --home-dir /var/lib/tandem --shell /usr/sbin/nologin tandem
  fi
  # The configuration may hold passwords.
  chown root:tandem /etc/tandem /etc/tandem/tandem.yaml
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
  fi
  if [ -z "$2" ]; then # the first time
    echo "tandem: name both servers in /etc/tandem/tandem.yaml, then: systemctl enable --now tandem"
  fi
fi
