# Notes on the host what a run is about to make of which nobody could tell later that it was not there before: a package,
# a hold, a pulled image. deploys/teardown.py removes by it. A line is a kind and a name; each is noted once.
# Beforehand: what is noted and never made is not on the host, and nothing is removed for it.
ledger=/var/lib/voice/made
note() { # $1: installed, removed, held or image; the names
    local kind=$1 name
    shift
    mkdir -p "${ledger%/*}"
    for name; do
        grep -qxF -- "$kind $name" "$ledger" 2>/dev/null || printf '%s %s\n' "$kind" "$name" >>"$ledger"
    done
}
# What apt-get would do, from the lines of its --simulate on stdin: packages that come anew, packages that go.
note_packages() {
    local verb name rest
    while read -r verb name rest; do
        case "$verb $rest" in
        "Inst ["*) ;; # it was there, in another version
        "Inst "*) note installed "$name" ;;
        "Remv "* | "Purg "*) note removed "$name" ;;
        esac
    done
}
