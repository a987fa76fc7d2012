# attend-server. `make run` serves, `make test` tests; both install what they need on Debian. `make help` lists all.

VERSION := 0.3.0
BUILD   ?= build
PYTHON  ?= python3
# What `make run` passes on, as in: make run ARGS="--port 9000 --model bert=DIRECTORY"
ARGS    ?=

ifeq ($(origin CC),default)
CC := gcc
endif

# The house's warnings. In CI each is an error; a user's newer compiler may warn of more and still build.
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
WERROR   ?=
OPTIMISE := -O3
SANITISE :=
# make V=1 shows the commands.
V        ?= 0
Q        := $(if $(filter 0,$(V)),@)

# OpenBLAS is not among them: the program loads it when it is told to multiply with it.
LIBRARIES := libmicrohttpd jansson zlib spng
cflags_of  = $(shell pkg-config --cflags $(1) 2>/dev/null)
libs_of    = $(shell pkg-config --libs $(1) 2>/dev/null)

# -ffp-contract=off: a compiler that fuses multiplications with additions would change the bits of the answers.
CFLAGS_ALL = -std=gnu11 -D_GNU_SOURCE -g $(OPTIMISE) -ffp-contract=off -pthread -I. \
             -DATTEND_VERSION='"$(VERSION)"' $(WARNINGS) $(WERROR) $(SANITISE) $(if $(SANITISE),-DATTN_ROLLED) $(call cflags_of,$(LIBRARIES)) $(CFLAGS)
LIBS_ALL   = $(call libs_of,$(LIBRARIES)) -lm -pthread $(SANITISE) $(LDFLAGS)
# The program that the service tests start.
SERVED     ?= $(BUILD)/attend-server
# Criterion declares its tests by macros, without prototypes.
TEST_CFLAGS = $(CFLAGS_ALL) -Wno-missing-prototypes -DATTEND_SERVER='"$(SERVED)"' \
              -DFAIL_ALLOCATION_LIBRARY='"$(BUILD)/tests/faults/fail_allocation.so"' \
              -DWRONG_OPENBLAS_LIBRARY='"$(BUILD)/tests/faults/wrong_openblas.so"' \
              $(call cflags_of,criterion libcurl)

# The sources lie in folders up to three deep.
files_of        = $(wildcard $(foreach depth,/ /*/ /*/*/,$(addsuffix $(depth)$(2),$(1))))
CORE_SOURCES   := $(call files_of,core,*.c)
SERVER_SOURCES := $(filter-out server/main.c,$(call files_of,server,*.c))
UNIT_TESTS     := $(patsubst %.c,$(BUILD)/%,$(call files_of,tests/core tests/server,test_*.c))
PLAIN_TESTS     = $(filter-out $(BUILD)/tests/core/kernels/test_kernels,$(UNIT_TESTS))
SERVICE_TESTS  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/service/test_*.c))
ALL_C          := $(call files_of,core server tests,*.[ch]) $(wildcard tests/*/*/*/*.[ch])

.PHONY: all run test test-c test-cores test-cpus test-neon test-no-avx test-avx test-python test-peers asan tsan lint format image help clean
.DEFAULT_GOAL := all

## all: build the program, build/attend-server
all: $(BUILD)/attend-server

## run: serve the built-in model on port 8080 (ARGS="..." passes flags)
run: $(BUILD)/attend-server
	exec $(BUILD)/attend-server $(ARGS)

# ---- Building ----------------------------------------------------------------------------------------------------

$(BUILD)/attend-server: $(BUILD)/server/main.o $(BUILD)/server.a $(BUILD)/core.a
	@echo "  LD  $@"
	$(Q)$(CC) -o $@ $^ $(LIBS_ALL)

$(BUILD)/core.a: $(CORE_SOURCES:%.c=$(BUILD)/%.o)
$(BUILD)/server.a: $(SERVER_SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/server/web_assets.o
$(BUILD)/core.a $(BUILD)/server.a:
	@rm -f $@
	@echo "  AR  $@"
	$(Q)ar qcs $@ $^

$(BUILD)/%.o: %.c Makefile | packages-build
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The kernels for particular CPUs; the rest of the program runs on every one. On other architectures these files are
# empty, and the flags unknown to the compiler.
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine 2>/dev/null || uname -m)),)
AVX_FLAGS    := -mavx
AVX2_FLAGS   := -mavx2 -mfma
AVX512_FLAGS := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
$(BUILD)/core/kernels/avx.o: CFLAGS_ALL += $(AVX_FLAGS)
$(BUILD)/core/kernels/avx2.o: CFLAGS_ALL += $(AVX2_FLAGS)
$(BUILD)/core/kernels/avx512.o: CFLAGS_ALL += $(AVX512_FLAGS)
endif

# Files that are copied into the program: the description of the API, and the explorer with all that it loads, its modules
# as one and without comments and long names, plain and compressed, in a table of their names (server/assets.h). The
# folder is a prerequisite too: its time changes when a file comes or goes.
$(BUILD)/server/assets.o: server/openapi.json

MINIFY     := esbuild --bundle --minify --format=esm --charset=utf8 --external:/assets/* --log-level=warning
WEB_FILES  := $(sort server/web/index.html $(wildcard server/web/*.*))
WEB_SERVED := $(filter-out %.js,$(WEB_FILES)) $(wildcard server/web/main.js)
$(BUILD)/server/web_assets.c: server/web $(WEB_FILES) Makefile | packages-build
	@mkdir -p $(@D)/web
	@echo "  GEN $@"
	$(Q){ echo '#include "server/assets.h"'; echo '#include "server/embed.h"'; \
	    n=0; rows=; for file in $(WEB_SERVED); do \
	        name=$${file##*/}; small=$(@D)/web/$$name; n=$$((n + 1)); \
	        case $$name in *.js | *.css) $(MINIFY) $$file > $$small || exit 1 ;; *) sed 's/^ *//' $$file > $$small ;; esac; \
	        gzip -9 -n -c $$small > $$small.gz; hash=$$(sha256sum $$small | cut -c 1-20); \
	        echo "EMBED(web_$$n, \"$$small\");"; echo "EMBED(web_gzip_$$n, \"$$small.gz\");"; \
	        rows="$$rows{\"$$name\", \"W/\\\"$$hash\\\"\", web_$${n}_begin, web_$${n}_end, web_gzip_$${n}_begin, web_gzip_$${n}_end},"; \
	    done; printf '%s\n' "const web_asset web_assets[] = {$$rows{0}};"; } > $@.new
	@mv $@.new $@
$(BUILD)/server/web_assets.o: $(BUILD)/server/web_assets.c
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-missing-field-initializers -c -o $@ $<

$(PLAIN_TESTS): $(BUILD)/%: %.c $(BUILD)/server.a $(BUILD)/core.a | packages-test
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -o $@ $< $(BUILD)/server.a $(BUILD)/core.a $(call libs_of,criterion) $(LIBS_ALL)

# The checks of the kernels are shared with a program for other CPUs.
CHECKS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/core/kernels/checks*.c))
$(BUILD)/tests/core/kernels/test_kernels: tests/core/kernels/test_kernels.c $(CHECKS) $(BUILD)/core.a | packages-test
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -o $@ $< $(CHECKS) $(BUILD)/core.a $(call libs_of,criterion) $(LIBS_ALL)

FAULTS          := $(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/faults/*.c))
SERVICE_HARNESS := $(BUILD)/tests/service/harness.o $(BUILD)/tests/service/clients.o
$(SERVICE_TESTS): $(BUILD)/%: %.c $(SERVICE_HARNESS) $(BUILD)/core.a | packages-test $(SERVED) $(FAULTS)
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -o $@ $< $(SERVICE_HARNESS) $(BUILD)/core.a \
	    $(call libs_of,criterion libcurl) $(LIBS_ALL)

$(SERVICE_HARNESS): $(BUILD)/%.o: %.c | packages-test
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<

# Preloaded, so without the sanitizers of a build that has them.
$(FAULTS): $(BUILD)/%.so: %.c | packages-build
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 $(WARNINGS) $(WERROR) -Wno-missing-prototypes \
	    -fPIC -shared -o $@ $<

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- Testing -----------------------------------------------------------------------------------------------------

## test: all tests that need small packages only
test: test-c test-python
	@tests/run --total $(BUILD)/totals

# It is the service that has threads: its tests run as ever, against a service that is watched. The scheduler's own
# tests and those of the blocks are watched too, without Criterion (tests/tsan). Any report fails, even if no test noticed.
TSAN_UNITS   := $(addprefix $(BUILD)/tsan/tests/,server/test_scheduler $(addprefix server/test_scheduler_,loops giving_way) \
                    core/test_blocks)
TSAN_SERVICE := $(addprefix $(BUILD)/tsan-tests/tests/service/test_,batches ending fields requests robustness)
## tsan: the scheduler's tests, and many of the service's, under ThreadSanitizer
tsan: $(BUILD)/python/ready | packages-lint
	@$(MAKE) BUILD=$(BUILD)/tsan CC=clang OPTIMISE=-O1 SANITISE=-fsanitize=thread CFLAGS=-Itests/tsan \
	    $(BUILD)/tsan/attend-server $(TSAN_UNITS)
	@$(MAKE) BUILD=$(BUILD)/tsan-tests SERVED=$(BUILD)/tsan/attend-server $(TSAN_SERVICE)
	@rm -f $(BUILD)/tsan/totals $(BUILD)/tsan/report.*
	@export TSAN_OPTIONS="log_path=$(abspath $(BUILD)/tsan/report)"; \
	tests/run --add $(BUILD)/tsan/totals $(TSAN_UNITS) $(TSAN_SERVICE); failed=$$?; \
	ATTEND_SERVER=$(abspath $(BUILD)/tsan/attend-server) tests/run --add $(BUILD)/tsan/totals --pytest \
	    $(BUILD)/python/bin/python -m pytest -q -p no:cacheprovider tests/python/test_same_bits.py || failed=1; \
	cat $(BUILD)/tsan/report.* 2>/dev/null && failed=1; tests/run --total $(BUILD)/tsan/totals && exit $$failed

# What OpenBLAS multiplies with is another thing on each kind of CPU, and what is promised of it must hold on all.
CORES_TESTS := $(addprefix $(BUILD)/tests/core/,kernels/test_kernels attention/test_batch test_parallel kernels/test_check)
## test-cores: the kernels, batches and the self-check with OpenBLAS's kernels for each kind of CPU that this one can play
test-cores: $(CORES_TESTS)
	@rm -f $(BUILD)/totals-cores
	@failed=0; for core in $$(tests/openblas_cores); do echo "--- OPENBLAS_CORETYPE=$$core"; \
	    OPENBLAS_CORETYPE=$$core tests/run --add $(BUILD)/totals-cores $(CORES_TESTS) || failed=1; done; \
	    tests/run --total $(BUILD)/totals-cores && exit $$failed

# The kernels for other CPUs than this one, on those that qemu plays.
## test-cpus: the kernels for 64-bit ARM, which have the bits of AVX2's and AVX-512's, and those for a CPU without AVX and for one without AVX2
test-cpus: test-neon test-no-avx test-avx

NEON_CC      := aarch64-linux-gnu-gcc
NEON_SOURCES := core/parallel.c $(filter-out tests/core/kernels/test_%,$(wildcard tests/core/kernels/*.c)) $(filter-out core/kernels/openblas.c,$(wildcard core/kernels/*.c))
$(BUILD)/neon/run_checks: $(NEON_SOURCES) $(wildcard core/kernels/*.h core/kernels/*/*.h tests/core/kernels/*.h) | packages-cpus
	@mkdir -p $(@D)
	@echo "  CC  $@"
	$(Q)$(NEON_CC) -std=gnu11 -D_GNU_SOURCE -O2 -ffp-contract=off -pthread -static -I. $(WARNINGS) $(WERROR) \
	    -o $@ $(NEON_SOURCES) -lm

# The passes of tests/core/attention/test_common_bits.c, without Criterion: what they print must be the same for both CPUs.
NEON_PASS := core/arena.c core/blocks.c core/status.c $(wildcard core/attention/*.c) tests/core/kernels/no_openblas.c $(filter core/%,$(NEON_SOURCES))
$(BUILD)/neon/common_bits: tests/core/attention/test_common_bits.c $(NEON_PASS) $(wildcard core/*.h core/*/*.h core/*/*/*.h tests/core/layers.h) | packages-cpus
	@mkdir -p $(@D)
	@echo "  CC  $@"
	$(Q)$(NEON_CC) -std=gnu11 -D_GNU_SOURCE -O2 -ffp-contract=off -pthread -static -Itests/tsan -I. $(WARNINGS) $(WERROR) \
	    -Wno-missing-prototypes -o $@ $< $(NEON_PASS) -lm

$(BUILD)/x86/common_bits: tests/core/attention/test_common_bits.c $(BUILD)/core.a
	@mkdir -p $(@D)
	@echo "  CC  $@"
	$(Q)$(CC) -Itests/tsan $(CFLAGS_ALL) -Wno-missing-prototypes -MMD -MP -o $@ $^ $(LIBS_ALL)

HAS_AVX2 = $(shell grep -cw avx2 /proc/cpuinfo)
test-neon: $(BUILD)/neon/run_checks $(BUILD)/neon/common_bits $(BUILD)/x86/common_bits
	qemu-aarch64 $< "generic, neon"
	qemu-aarch64 $(BUILD)/neon/common_bits 2>&1 | tee $(BUILD)/neon/bits
	$(if $(filter 0,$(HAS_AVX2)),qemu-x86_64 -cpu Haswell) $(BUILD)/x86/common_bits 2>&1 | tee $(BUILD)/x86/bits
	cmp $(BUILD)/neon/bits $(BUILD)/x86/bits

$(BUILD)/tests/core/kernels/run_checks: $(BUILD)/tests/core/kernels/run_checks.o $(CHECKS) $(BUILD)/core.a
	@echo "  LD  $@"
	$(Q)$(CC) -o $@ $^ $(LIBS_ALL)

test-no-avx: $(BUILD)/tests/core/kernels/run_checks | packages-cpus
	qemu-x86_64 -cpu Nehalem $< "generic, openblas"

test-avx: $(BUILD)/tests/core/kernels/run_checks | packages-cpus
	qemu-x86_64 -cpu SandyBridge,-pcid,-x2apic,-tsc-deadline $< "generic, openblas, avx" avx

test-c: $(UNIT_TESTS) $(SERVICE_TESTS) $(BUILD)/attend-server
	@rm -f $(BUILD)/totals
	@tests/run --add $(BUILD)/totals $(UNIT_TESTS) $(SERVICE_TESTS)

test-python: $(BUILD)/python/ready $(BUILD)/attend-server test-c | packages-awk
	@ATTEND_SERVER=$(abspath $(BUILD)/attend-server) tests/run --add $(BUILD)/totals --pytest \
	    $(BUILD)/python/bin/python -m pytest -q -p no:cacheprovider tests/python

## test-peers: hold the service against PyTorch and transformers (installs them: about 2.5 GB)
test-peers: $(BUILD)/peers/ready $(BUILD)/attend-server
	@rm -f $(BUILD)/totals-peers
	@ATTEND_SERVER=$(abspath $(BUILD)/attend-server) HF_HUB_OFFLINE=1 tests/run --add $(BUILD)/totals-peers --pytest \
	    $(BUILD)/peers/bin/python -m pytest -q -s -p no:cacheprovider tests/peers
	@tests/run --total $(BUILD)/totals-peers

# -fno-sanitize-recover: undefined behaviour ends the test instead of printing a line that nobody reads.
## asan: the C tests under AddressSanitizer, LeakSanitizer and UBSan
asan:
	@$(MAKE) BUILD=$(BUILD)/asan OPTIMISE=-O1 \
	    SANITISE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" test-c
	@tests/run --total $(BUILD)/asan/totals

## lint: compile with gcc and clang under all warnings, and check the layout
lint: | packages-build packages-test packages-lint packages-openblas
	@clang-format --dry-run -Werror $(ALL_C)
	@for cc in gcc clang; do for file in $(filter %.c,$(ALL_C)); do \
	    case $$file in */avx.c) more="$(AVX_FLAGS)";; */avx2.c) more="$(AVX2_FLAGS)";; */avx512.c) more="$(AVX512_FLAGS)";; */bench_kernels.c) more="$(call cflags_of,openblas)";; *) more=;; esac; \
	    $$cc $(TEST_CFLAGS) -Werror $$more -c -o /dev/null $$file || exit 1; done; echo "$$cc: no warnings"; done

## format: lay out the C sources
format: | packages-lint
	clang-format -i $(ALL_C)

## image: build the container image attend-server
image:
	docker build -t attend-server .

## clean: remove what was built
clean:
	rm -rf $(BUILD)

help:
	@sed -n 's/^## //p' Makefile

# ---- The page in a real browser ------------------------------------------------------------------------------------

# Playwright needs Node 20, and Debian 12 has 18: so Node is one of the packages that npm installs.
BROWSER_NODE   = $(BUILD)/browser/node_modules/.bin/node
BROWSER_ENV    = BUILD=$(abspath $(BUILD)) ATTEND_SERVER=$(abspath $(BUILD)/attend-server)

# package.json names exact versions, which are installed into the build directory; without a lock file, which would hold
# the address of a registry.
$(BUILD)/browser/ready: tests/browser/package.json $(CLIENT_FILES) | packages-browser packages-python
	@mkdir -p $(@D)
	@cp tests/browser/package.json $(@D)/package.json
	cd $(@D) && npm install --no-package-lock --no-audit --no-fund --silent
	$(PYTHON) -m venv $(@D)/venv
	$(@D)/venv/bin/pip install -q --disable-pip-version-check ./clients/python
	@touch $@

# Each file of tests starts a server and a browser of its own.
## test-browser: the page's own tests, and clicks and keys in a real Chromium (installs it: about 400 MB)
test-browser: $(BUILD)/browser/ready $(BUILD)/attend-server
	@$(BROWSER_ENV) $(BROWSER_NODE) tests/browser/with_server.mjs $(BROWSER_NODE) --test --test-reporter=spec tests/browser/unit/*.test.mjs
	@$(BROWSER_ENV) $(BROWSER_NODE) --test --test-reporter=spec tests/browser/*.test.mjs

## bench-page: how soon the page shows its first picture, and how smoothly a long map moves
bench-page: $(BUILD)/browser/ready $(BUILD)/attend-server
	@$(BROWSER_ENV) $(BROWSER_NODE) tests/browser/bench_page.mjs

## pictures: pictures of the page for the README, docs/explorer-*.png
pictures: $(BUILD)/browser/ready $(BUILD)/attend-server
	@$(BROWSER_ENV) $(BROWSER_NODE) tests/browser/pictures.mjs docs

.PHONY: test-browser bench-page pictures packages-browser
packages-browser:
	$(call need,command -v chromium,chromium fonts-dejavu-core)
	$(call need,command -v node && command -v npm,nodejs npm)

# ---- Measuring, and trying all numbers ---------------------------------------------------------------------------

CXX_ALL = g++ -std=c++17 -O3 -Wall -Wextra -I. -MMD -MP
# The peers that happen to be installed. A library of C++ needs -lstdc++ because gcc links.
BENCH_PEERS  := simdjson yyjson
BENCH_FOUND  := $(foreach peer,$(BENCH_PEERS),$(shell pkg-config --exists $(peer) 2>/dev/null && echo $(peer)))
BENCH_CFLAGS := -DWITH_CHARCONV $(if $(filter simdjson,$(BENCH_FOUND)),-DWITH_SIMDJSON) $(if $(filter yyjson,$(BENCH_FOUND)),-DWITH_YYJSON)
BENCH_PARTS  := tests/charconv tests/bench/peer_jansson $(BENCH_FOUND:%=tests/bench/peer_%)

$(BUILD)/%.o: %.cc | packages-cxx
	@mkdir -p $(@D)
	@echo "  CXX $<"
	$(Q)$(CXX_ALL) -c -o $@ $<

$(BUILD)/tests/bench/peer_yyjson.o: CFLAGS_ALL += -DWITH_YYJSON

$(BUILD)/tests/bench/bench_wire: tests/bench/bench_wire.c $(BENCH_PARTS:%=$(BUILD)/%.o) $(BUILD)/server.a $(BUILD)/core.a
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) $(BENCH_CFLAGS) -MMD -MP -o $@ $(filter-out %.h,$^) $(if $(BENCH_FOUND),$(call libs_of,$(BENCH_FOUND))) $(LIBS_ALL) -lstdc++

$(BUILD)/tests/bench/bench_base64: tests/bench/bench_base64.c $(BUILD)/server.a $(BUILD)/core.a
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -o $@ $(filter-out %.h,$^) $(LIBS_ALL)

## bench-wire: how long numbers take to read and write as JSON and base64, next to other libraries
bench-wire: $(BUILD)/tests/bench/bench_wire $(BUILD)/tests/bench/bench_base64
	@$(BUILD)/tests/bench/bench_wire
	@$(BUILD)/tests/bench/bench_base64

$(BUILD)/tests/bench/bench_batch: tests/bench/bench_batch.c $(BUILD)/server.a $(BUILD)/core.a
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -o $@ $(filter-out %.h,$^) $(LIBS_ALL)

$(BUILD)/tests/bench/bench_kernels: tests/bench/bench_kernels.c $(BUILD)/core.a | packages-openblas
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) $(call cflags_of,openblas) -MMD -MP -o $@ $(filter-out %.h,$^) $(call libs_of,openblas) $(LIBS_ALL)

## bench-kernels: projections on one thread, next to OpenBLAS and the machine's limits (ARGS="avx2 int8 1 16")
bench-kernels: $(BUILD)/tests/bench/bench_kernels
	@OPENBLAS_NUM_THREADS=1 $< $(ARGS)

## bench-batch: what it is worth to compute 32 requests of one token together (ARGS="init:..." names other layers)
bench-batch: $(BUILD)/tests/bench/bench_batch
	@$< $(ARGS)

$(BUILD)/tests/bench/bench_tiny: tests/bench/bench_tiny.c $(BUILD)/core.a
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -o $@ $(filter-out %.h,$^) $(LIBS_ALL)

## bench-tiny: whether numbers near the smallest of float32 take longer than others (ARGS="avx2")
bench-tiny: $(BUILD)/tests/bench/bench_tiny
	@$< $(ARGS)

# The whole pass as a library, which Python can load beside the others.
$(BUILD)/libpass.so: tests/bench/pass.c $(CORE_SOURCES) $(SERVER_SOURCES)
	@$(MAKE) BUILD=$(BUILD)/pic CFLAGS="$(CFLAGS) -fPIC" $(BUILD)/pic/server.a $(BUILD)/pic/core.a
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS_ALL) -fPIC -shared -Wl,-Bsymbolic -o $@ $< $(BUILD)/pic/server.a $(BUILD)/pic/core.a $(LIBS_ALL)

# Each library with its own allocator as it is; the pass keeps its blocks as the service does.
BENCH = OPENBLAS_NUM_THREADS=1 $(BUILD)/bench/bin/python tests/bench/bench.py --library $(BUILD)/libpass.so \
        --limits $(BUILD)/tests/bench/bench_kernels
## bench: the whole pass next to PyTorch, ONNX Runtime and OpenVINO (installs them), at 144 shapes; writes docs/bench.txt
bench: $(BUILD)/libpass.so $(BUILD)/tests/bench/bench_kernels $(BUILD)/bench/ready
	@$(BENCH) --output docs/bench $(ARGS)

## bench-quick: the same at a few shapes, on the screen
bench-quick: $(BUILD)/libpass.so $(BUILD)/tests/bench/bench_kernels $(BUILD)/bench/ready
	@$(BENCH) --quick $(ARGS)

$(BUILD)/tests/exhaustive/exhaustive_numbers: tests/exhaustive/exhaustive_numbers.c $(BUILD)/tests/charconv.o $(BUILD)/server.a $(BUILD)/core.a
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -o $@ $(filter-out %.h,$^) $(LIBS_ALL) -lstdc++

## test-exhaustive: every float32 written and read back, and a thousand million decimals read (about 40 minutes of CPU time)
test-exhaustive: $(BUILD)/tests/exhaustive/exhaustive_numbers
	@$< $(ARGS)

.PHONY: bench bench-quick bench-wire bench-kernels bench-batch bench-tiny test-exhaustive

# ---- Installing what is missing ------------------------------------------------------------------------------------

# $(call need,TEST,PACKAGES): installs Debian packages unless the test succeeds.
need = @{ $(1); } >/dev/null 2>&1 || { \
	    echo "installing $(2)"; \
	    as_root=$$([ $$(id -u) = 0 ] || echo sudo); \
	    $$as_root apt-get update -qq && \
	    $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; }

.PHONY: packages-build packages-test packages-lint packages-python packages-awk packages-cxx packages-cpus packages-openblas
packages-build:
	$(call need,command -v $(CC) && command -v esbuild && pkg-config --exists $(LIBRARIES) && /sbin/ldconfig -p | grep -q libopenblas.so.0,gcc libc6-dev pkg-config esbuild libmicrohttpd-dev libjansson-dev libopenblas0-pthread zlib1g-dev libspng-dev)
packages-openblas:
	$(call need,pkg-config --exists openblas,libopenblas-pthread-dev)
packages-test: | packages-build
	$(call need,pkg-config --exists criterion libcurl,libcriterion-dev libcurl4-openssl-dev)
packages-lint:
	$(call need,command -v clang && command -v clang-format,clang clang-format)
packages-cpus: | packages-build
	$(call need,command -v $(NEON_CC) && command -v qemu-aarch64 && command -v qemu-x86_64,gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
packages-cxx: | packages-build
	$(call need,command -v g++,g++)
packages-python:
	$(call need,$(PYTHON) -c 'import venv$(comma) ensurepip' && command -v curl,python3 python3-venv ca-certificates curl)
# Each kind of awk that the curl scripts may meet; gawk is tried where it is there, for it would become the system's awk.
packages-awk:
	$(call need,command -v mawk && command -v original-awk && command -v busybox,mawk original-awk busybox)
comma := ,

CLIENT_FILES := $(wildcard clients/python/pyproject.toml clients/python/attend/*.py)

# $(BUILD)/NAME/ready is a virtual environment with the client and what tests/NAME needs.
$(BUILD)/python/ready $(BUILD)/peers/ready $(BUILD)/bench/ready: $(BUILD)/%/ready: tests/%/requirements.txt $(CLIENT_FILES) | packages-python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r $< ./clients/python
	@touch $@
