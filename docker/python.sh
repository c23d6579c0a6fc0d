#!/bin/sh
# See that a base image has a Python that the packages are made for. One without, a plain Debian, gets Debian's, and the
# named packages with it.
#
#   python.sh [PACKAGE...]
set -eu

bundle=/etc/ssl/certs/ca-certificates.crt
if ! command -v python3 >/dev/null; then
  # Debian's package of authorities writes the bundle anew: those that the base brought (a network's own) are kept.
  if [ -f "$bundle" ] && ! dpkg -s ca-certificates >/dev/null 2>&1; then
    install -D -m 644 "$bundle" /usr/local/share/ca-certificates/of-the-base.crt
  fi
  apt-get update
  apt-get install -y --no-install-recommends python3-venv "$@"
  rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/share/doc /usr/share/man
fi
python3 -c '
import platform, sys
if sys.version_info[:2] not in ((3, 11), (3, 12)):
    sys.exit(f"error: the base image has Python {platform.python_version()}, needed is 3.11 or 3.12: "
             "--build-arg BASE=python:3.11-slim-bookworm")
'
