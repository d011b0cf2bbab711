# The commands of every day: `just` lists them. Each is one line of the scripts, which work without just too.

# what a change has to pass: format, clippy, dependencies, docs, tests
check:
    .ci/run

# the whole suite, or the arguments of cargo test: just test -p doorcode-domain email
test *arguments:
    ./bin/test {{arguments}}

# one test of the running service by its name: just one login::
one name:
    cargo test --locked -p doorcode --test it -- {{name}}

# what is too long for every change: the API's document by tools that are not ours, chaos under load, a real Prometheus
nightly:
    .ci/nightly

# a real cluster (etcd, Patroni, HAProxy) that is broken under load, and what customers see of it
ha *arguments:
    ./bin/ha {{arguments}}

# everything on this machine, mails in the browser
dev *arguments:
    ./bin/dev {{arguments}}

# doorcode beside FastAPI, warp and bare Postgres, each target beside its figure: just bench --quick
bench *arguments:
    ./benches/end_to_end {{arguments}}

# the release binary, stripped, with its debug information beside it
release:
    ./bin/release

# the release binary, its .deb, what they are made of, and their checksums, in target/dist
dist:
    ./bin/dist

# the documentation of the code, in the browser
docs:
    cargo doc --locked --no-deps --workspace --open
