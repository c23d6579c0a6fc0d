#!/bin/sh
# check.sh STORE SUMS MODELS: copy the folder $MODEL from STORE to MODELS and refuse it unless it is what SUMS lists.
# The copy is checked, not the store: what was checked is what is served, whoever writes into the store meanwhile.
# A refused model fails the pod's start, so a rollout stops and the old pods go on.
set -eu
store=$1 sums=$2 models=$3

refuse() {
    rm -rf "${models:?}/$MODEL"
    echo "error: $1; make SHA256SUMS from the proven repository, as docs/deploy.md shows, and deploy what it lists" >&2
    exit 1
}

[ -d "$store/$MODEL" ] || refuse "the store has no folder $MODEL"
rm -rf "${models:?}/$MODEL"
cp -RL "$store/$MODEL" "$models/"     # -L: a link could point elsewhere later
cd "$models"
sha256sum --check --strict --quiet "$sums" || refuse "the files of $MODEL are not those that SHA256SUMS lists"
# sha256sum says nothing of files without a line.
listed=$(grep -c . "$sums")
found=$(find "$MODEL" -type f | wc -l)
[ "$listed" -eq "$found" ] || refuse "$MODEL holds $found files and SHA256SUMS lists $listed"
echo "$MODEL: $found files, as listed"
