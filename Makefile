# attend-server. `make run` serves, `make test` tests; both install what they need on Debian. `make help` lists all.
# What concerns tests alone stands in tests/tests.mk, and measuring in tests/bench/bench.mk.

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
# All CPUs build, unless the command says otherwise (make -j1).
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
# make V=1 shows the commands.
V        ?= 0
Q        := $(if $(filter 0,$(V)),@)

# OpenBLAS is not among them: the program loads it when it is told to multiply with it.
LIBRARIES := libmicrohttpd jansson zlib spng gnutls
cflags_of  = $(shell pkg-config --cflags $(1) 2>/dev/null)
libs_of    = $(shell pkg-config --libs $(1) 2>/dev/null)

# -ffp-contract=off: a compiler that fuses multiplications with additions would change the bits of the answers.
CFLAGS_ALL = -std=gnu11 -D_GNU_SOURCE -g $(OPTIMISE) -ffp-contract=off -pthread -I. \
             -DATTEND_VERSION='"$(VERSION)"' $(WARNINGS) $(WERROR) $(SANITISE) $(if $(SANITISE),-DATTN_ROLLED) $(call cflags_of,$(LIBRARIES)) \
             $(FLAGS_$(basename $(notdir $@))) $(CFLAGS)
LIBS_ALL   = $(call libs_of,$(LIBRARIES)) -lm -pthread $(SANITISE) $(LDFLAGS)

# The sources lie in folders up to three deep.
files_of        = $(wildcard $(foreach depth,/ /*/ /*/*/,$(addsuffix $(depth)$(2),$(1))))
# What takes longest to compile comes first.
CORE_SOURCES   := $(wildcard core/kernels/avx*.c) $(filter-out core/kernels/avx%,$(call files_of,core,*.c))
SERVER_SOURCES := $(filter-out server/main.c,$(call files_of,server,*.c))
ALL_C          := $(call files_of,core server tests,*.[ch]) $(wildcard tests/*/*/*/*.[ch])

.PHONY: all run lint format image help clean
.DEFAULT_GOAL := all

## all: build the program, build/attend-server
all: $(BUILD)/attend-server

## run: serve the built-in model on port 8080 (ARGS="..." passes flags)
run: $(BUILD)/attend-server
	exec $(BUILD)/attend-server $(ARGS)

# ---- Building ----------------------------------------------------------------------------------------------------

PROGRAM := $(BUILD)/server/main.o $(BUILD)/server.a $(BUILD)/core.a
$(BUILD)/attend-server: $(BUILD)/core.a $(PROGRAM)
	@echo "  LD  $@"
	$(Q)$(CC) -o $@ $(PROGRAM) $(LIBS_ALL)

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

# What the compiler is told for one file alone, FLAGS_ and the file's name. The kernels for particular CPUs; the rest of the
# program runs on every one. On other architectures these files are empty, and the flags unknown to the compiler.
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine 2>/dev/null || uname -m)),)
FLAGS_avx    := -mavx
FLAGS_avx2   := -mavx2 -mfma
FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
endif
FLAGS_bench_kernels = $(call cflags_of,openblas)

# Kernels are long unrolled loops, whose variables take the compiler half as long again to follow as the code itself.
$(BUILD)/core/kernels/%.o: CFLAGS_ALL += -g1

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

# ---- Checking ----------------------------------------------------------------------------------------------------

LINTED    := $(foreach cc,gcc clang,$(addprefix lint/$(cc)/,$(filter %.c,$(ALL_C))))
.PHONY: $(LINTED) lint-layout lint-house
## lint: compile with gcc and clang under all warnings; check the layout, and that no files go in circles or say a thing twice
lint: lint-layout lint-house $(LINTED)
	@echo "gcc, clang: no warnings"
$(LINTED): | packages-build packages-test packages-lint packages-openblas
	@cc=$(word 2,$(subst /, ,$@)); file=$(@:lint/$(word 2,$(subst /, ,$@))/%=%); \
	    $$cc $(TEST_CFLAGS) -Werror -c -o /dev/null $$file
lint-layout: | packages-lint
	@clang-format --dry-run -Werror $(ALL_C)
lint-house: $(BUILD)/attend-server | packages-python
	@$(PYTHON) tests/house $(BUILD)

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
	@sed -n 's/^## //p' Makefile $(PARTS)


# ---- Installing what is missing ------------------------------------------------------------------------------------

# $(call need,TEST,PACKAGES): installs Debian packages unless the test succeeds, one call after the other.
need = @{ $(1); } >/dev/null 2>&1 || { \
	    echo "installing $(2)"; \
	    as_root=$$([ $$(id -u) = 0 ] || echo sudo); \
	    $$as_root flock Makefile sh -c 'apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null'; }

.PHONY: packages-build packages-test packages-lint packages-python packages-awk packages-cxx packages-cpus packages-openblas
packages-build:
	$(call need,command -v $(CC) && command -v esbuild && pkg-config --exists $(LIBRARIES) && /sbin/ldconfig -p | grep -q libopenblas.so.0,gcc libc6-dev pkg-config esbuild libmicrohttpd-dev libgnutls28-dev libjansson-dev libopenblas0-pthread zlib1g-dev libspng-dev)
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

PARTS := tests/tests.mk tests/bench/bench.mk
# The image is built without them.
-include $(PARTS)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

