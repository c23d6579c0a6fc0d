#!/bin/sh
# Run tensorflow_model_server so that SIGTERM ends it, and only after what is under way.
#
# It has no handler of its own: as process 1, which an entrypoint that merely execs would make it, the kernel keeps the
# signal from it, and `docker stop` waits in vain and kills; as any other process it dies at once, with its requests.
# So process 1 is this shell: at SIGTERM the server goes on for DRAIN_S seconds, in which whoever sends the requests has
# forgotten it, and is ended then. Exit code: 0 after SIGTERM, else the server's.
set -u

server='' stopping=no
stop() {
  stopping=yes
  trap '' TERM INT # once is enough
  sleep "${DRAIN_S:-5}"
  [ -z "$server" ] || kill -TERM "$server" 2>/dev/null
}
trap stop TERM INT # before the start: a signal in between would end this shell, or be lost to process 1
tensorflow_model_server "$@" &
server=$!
# A signal that came before the server had a number found nobody to end.
[ "$stopping" = no ] || kill -TERM "$server" 2>/dev/null
wait "$server"
code=$?
if [ "$stopping" = yes ]; then
  wait "$server" # a signal ends the first wait and not the server
  code=0
fi
exit "$code"
