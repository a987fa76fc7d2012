# bench.mk: measuring, and trying all numbers. Part of the Makefile, whose names it uses.

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
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -o $@ $(filter-out %.h,$^) $(call libs_of,openblas) $(LIBS_ALL)

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

