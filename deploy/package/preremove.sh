#!/bin/sh
# Before the files go. An upgrade leaves the service running.
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now tandem.service
fi
