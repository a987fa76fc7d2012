# tests.mk: building and running the tests. Part of the Makefile, whose names it uses.

.PHONY: test test-c test-cores test-cpus test-neon test-no-avx test-avx test-python test-peers test-operate asan tsan

# The program that the service tests start.
SERVED     ?= $(BUILD)/attend-server
# Criterion declares its tests by macros, without prototypes.
TEST_CFLAGS = $(CFLAGS_ALL) -Wno-missing-prototypes -DATTEND_SERVER='"$(SERVED)"' \
              -DFAIL_ALLOCATION_LIBRARY='"$(BUILD)/tests/faults/fail_allocation.so"' \
              -DWRONG_OPENBLAS_LIBRARY='"$(BUILD)/tests/faults/wrong_openblas.so"' \
              $(call cflags_of,criterion libcurl)

UNIT_TESTS     := $(patsubst %.c,$(BUILD)/%,$(call files_of,tests/core tests/server,test_*.c))
SERVICE_TESTS  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/service/test_*.c))

# ---- Building ----------------------------------------------------------------------------------------------------

$(UNIT_TESTS): $(BUILD)/%: %.c $(BUILD)/server.a $(BUILD)/core.a | packages-test
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -o $@ $< $(BUILD)/server.a $(BUILD)/core.a $(call libs_of,criterion) $(LIBS_ALL)

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
NEON_SOURCES := core/parallel.c core/status.c tests/core/kernels/run_checks.c tests/core/kernels/no_openblas.c $(filter-out core/kernels/openblas.c,$(wildcard core/kernels/*.c))
$(BUILD)/neon/run_checks: $(NEON_SOURCES) $(wildcard core/kernels/*.h core/kernels/*/*.h core/*.h tests/core/*.h) | packages-cpus
	@mkdir -p $(@D)
	@echo "  CC  $@"
	$(Q)$(NEON_CC) -std=gnu11 -D_GNU_SOURCE -O2 -ffp-contract=off -pthread -static -I. $(WARNINGS) $(WERROR) \
	    -o $@ $(NEON_SOURCES) -lm

# The passes of tests/core/attention/test_common_bits.c, without Criterion: what they print must be the same for both CPUs.
NEON_PASS := core/arena.c core/blocks.c $(wildcard core/attention/*.c) tests/core/kernels/no_openblas.c $(filter core/%,$(NEON_SOURCES))
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

$(BUILD)/tests/core/kernels/run_checks: $(BUILD)/tests/core/kernels/run_checks.o $(BUILD)/core.a
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
# Debian's Prometheus, not installed, for that would start it as a service.
$(BUILD)/operate/usr/bin/prometheus:
	@mkdir -p $(BUILD)/operate
	cd $(BUILD)/operate && { apt-get download -qq prometheus 2>/dev/null || { \
	    $$([ $$(id -u) = 0 ] || echo sudo) apt-get update -qq && apt-get download -qq prometheus; }; } && \
	    dpkg --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin && rm prometheus_*.deb

## test-operate: the service among what it is operated with: a real Prometheus scrapes it (downloads it: about 20 MB)
test-operate: $(BUILD)/python/ready $(BUILD)/operate/usr/bin/prometheus $(BUILD)/attend-server
	@rm -f $(BUILD)/totals-operate
	@ATTEND_SERVER=$(abspath $(BUILD)/attend-server) PROMETHEUS=$(abspath $(BUILD)/operate/usr/bin) \
	    tests/run --add $(BUILD)/totals-operate --pytest \
	    $(BUILD)/python/bin/python -m pytest -q -p no:cacheprovider tests/operate
	@tests/run --total $(BUILD)/totals-operate

## asan: the C tests under AddressSanitizer, LeakSanitizer and UBSan
asan:
	@$(MAKE) BUILD=$(BUILD)/asan OPTIMISE=-O1 \
	    SANITISE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" test-c
	@tests/run --total $(BUILD)/asan/totals

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

# ---- Python ------------------------------------------------------------------------------------------------------

# $(BUILD)/NAME/ready is a virtual environment with the client and what tests/NAME needs.
$(BUILD)/python/ready $(BUILD)/peers/ready $(BUILD)/bench/ready: $(BUILD)/%/ready: tests/%/requirements.txt $(CLIENT_FILES) | packages-python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r $< ./clients/python
	@touch $@
