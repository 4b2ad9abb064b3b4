# tsmkit: build, test, measure, install. GNU make; everything goes below $(BUILD).
#
#   make              build the programs
#   make demo         install what is missing, build, run the main job on generated data
#   make test         install what the tests need, run all of them
#   make unit     one suite of them; also: make tools, make interop
#   make torture  loss of power, kill -9, full disks, no memory: TORTURE_CUTS, TORTURE_SECONDS (long)
#   make bench        compare with influxd, VictoriaMetrics and DuckDB (long)
#   make fuzz         fuzz every format for FUZZ_SECONDS each (default 600)
#   make lint         clang-format, cppcheck, shellcheck, includes and options
#   make install      DESTDIR, PREFIX
#   make clean
#
# SANITIZER=address,undefined works with every target.

VERSION = 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
SANITIZER ?=
FUZZ_SECONDS ?= 600
TORTURE_CUTS ?= 10000
TORTURE_SECONDS ?= 120

comma := ,
BUILD ?= build$(if $(SANITIZER),-$(subst $(comma),-,$(SANITIZER)))

ifeq ($(origin CC),default)
CC = gcc
endif
OPTIMIZE ?= $(if $(SANITIZER),-O1,-O2)
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wwrite-strings
override CPPFLAGS += -D_GNU_SOURCE -DTSM_VERSION_TEXT='"$(VERSION)"' -Ilib
CFLAGS ?= -g
override CFLAGS := -std=c11 $(OPTIMIZE) $(WARNINGS) -fno-math-errno -pthread $(CFLAGS)
override LDFLAGS += -pthread -Wl,--as-needed
override LDLIBS += -lz -lsnappy -llz4 -lpcre2-8 -lyaml -lraft -luv -lmicrohttpd -lcurl -ljansson -lmsgpackc -ljwt -lcrypto -lcrypt -lm
ifneq ($(SANITIZER),)
override CFLAGS += -fsanitize=$(SANITIZER) -fno-sanitize-recover=all -fno-omit-frame-pointer
override LDFLAGS += -fsanitize=$(SANITIZER)
endif

LIB_SOURCES := $(sort $(wildcard lib/*/*.c))
PROGRAMS := $(patsubst cmd/%.c,%,$(sort $(wildcard cmd/*.c)))
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
UNIT_SUPPORT := $(filter-out $(wildcard tests/unit/test_*.c),$(wildcard tests/unit/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
INTEROP_TOOLS := $(patsubst tests/interop/%.c,%,$(sort $(wildcard tests/interop/*.c)))
BENCH_TOOLS := $(patsubst tests/bench/%.c,%,$(sort $(wildcard tests/bench/*.c)))

LIB_OBJECTS := $(LIB_SOURCES:%.c=$(BUILD)/%.o)
LIB := $(BUILD)/libtsmkit.a

.PHONY: all demo test unit tools interop test-programs torture torture-programs bench fuzz fuzz-programs lint format install clean \
	deps-build deps-test deps-lint deps-bench
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS:%=$(BUILD)/%)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(PROGRAMS:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/cmd/%.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(UNIT_SUPPORT:%.c=$(BUILD)/%.o) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(BUILD)/interop/%: $(BUILD)/tests/interop/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

torture-programs: $(BUILD)/torture/cuts $(BUILD)/torture/allocfail.so

$(BUILD)/tests/torture/%.o: override CPPFLAGS += -Itests/unit
$(BUILD)/torture/cuts: $(BUILD)/tests/torture/cuts.o $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/power_*.c)) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Preloaded into programs, so without sanitizers.
$(BUILD)/torture/allocfail.so: tests/torture/allocfail.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 $(WARNINGS) -shared -fPIC -o $@ $<

# Without the library, which generate does not need and load must not: it stands for other people's clients.
$(BUILD)/bench/load: LDLIBS = -lcurl
$(BUILD)/bench/generate: LDLIBS = -lm
$(BUILD)/bench/codec $(BUILD)/bench/series_index $(BUILD)/bench/decode_merge $(BUILD)/bench/live $(BUILD)/bench/beside: $(LIB)
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- Debian packages ----------------------------------------------------------------------------
DEBIAN_BUILD = gcc libc6-dev zlib1g-dev libsnappy-dev liblz4-dev libxxhash-dev libpcre2-dev libyaml-dev libraft-dev \
	libuv1-dev libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev libmsgpack-dev libjwt-dev libssl-dev libcrypt-dev tzdata
DEBIAN_TEST = $(DEBIAN_BUILD) clang libclang-rt-14-dev libcmocka-dev bats jq curl gzip lz4 influxdb influxdb-client \
	python3 procps openssl python3-influxdb python3-msgpack prometheus $(DEBIAN_NPM)
DEBIAN_LINT = $(DEBIAN_BUILD) clang-format cppcheck shellcheck groff-base binutils git
DEBIAN_BENCH = $(DEBIAN_TEST) victoria-metrics
DEBIAN_NPM = $(if $(shell command -v npm),,nodejs npm)

# $(call need,packages): installs those that dpkg does not know, after saying so.
define need
	@missing=$$(for p in $(1); do \
	    dpkg-query -W -f='$${db:Status-Abbrev}' "$$p" 2>/dev/null | grep -q '^ii' || printf '%s ' "$$p"; done); \
	if [ -n "$$missing" ]; then \
	    echo "installing Debian packages: $$missing"; \
	    root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	    $$root apt-get update -qq && \
	    $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

deps-build:
	$(call need,$(DEBIAN_BUILD))
deps-test:
	$(call need,$(DEBIAN_TEST))
deps-lint:
	$(call need,$(DEBIAN_LINT))
deps-bench:
	$(call need,$(DEBIAN_BENCH))

# ---- the main targets ---------------------------------------------------------------------------
demo: deps-build
	@$(MAKE) --no-print-directory all $(BUILD)/bench/generate
	@BUILD=$(BUILD) sh examples/demo.sh

test: deps-test
	@$(MAKE) --no-print-directory all test-programs $(if $(SANITIZER),,fuzz-programs)
	@BUILD=$(abspath $(BUILD)) SANITIZER=$(SANITIZER) bash tests/run.sh

# One suite, without installing anything.
unit tools interop: all test-programs
	@BUILD=$(abspath $(BUILD)) SANITIZER=$(SANITIZER) bash tests/run.sh $@

test-programs: $(UNIT_TESTS:%=$(BUILD)/unit/%) $(INTEROP_TOOLS:%=$(BUILD)/interop/%) torture-programs

torture: deps-test
	@$(MAKE) --no-print-directory all torture-programs
	@BUILD=$(abspath $(BUILD)) SANITIZER=$(SANITIZER) TORTURE_CUTS=$(TORTURE_CUTS) TORTURE_SECONDS=$(TORTURE_SECONDS) \
	    bash tests/torture/run.sh

bench: deps-bench
	@$(MAKE) --no-print-directory all $(BENCH_TOOLS:%=$(BUILD)/bench/%)
	@BUILD=$(abspath $(BUILD)) bash tests/bench/run.sh

# ---- fuzzing: the library again, by clang with libFuzzer ----------------------------------------
FUZZ_BUILD = build-fuzz
FUZZ_FLAGS = -std=c11 -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -pthread -w

$(FUZZ_BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	clang $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/libtsmkit.a: $(LIB_SOURCES:%.c=$(FUZZ_BUILD)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(FUZZ_BUILD)/fuzz_%: $(FUZZ_BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_BUILD)/libtsmkit.a
	clang -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(LDLIBS)

fuzz-programs: $(FUZZERS:%=$(FUZZ_BUILD)/%)

fuzz: deps-test
	@$(MAKE) --no-print-directory fuzz-programs
	@FUZZ_BUILD=$(FUZZ_BUILD) bash tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)

# ---- the rest -----------------------------------------------------------------------------------
lint: deps-lint
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) bash tests/lint.sh

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/doc/tsmkit/examples \
	    $(DESTDIR)$(PREFIX)/share/doc/tsmkit/cron.d
	install -m 755 $(PROGRAMS:%=$(BUILD)/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(wildcard docs/man/*.1) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(wildcard docs/man/*.5) $(DESTDIR)$(PREFIX)/share/man/man5
	for p in $(PROGRAMS); do \
	    install -m 644 completions/tsmkit $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$p || exit 1; \
	done
	install -m 644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/tsmkit
	install -m 644 share/tsm-raftd.yaml $(DESTDIR)$(PREFIX)/share/doc/tsmkit
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local|$(PREFIX)|' share/systemd/tsm-raftd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/tsm-raftd.service
	install -d $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 644 share/sysusers.d/tsmkit.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 644 share/cron.d/tsmkit $(DESTDIR)$(PREFIX)/share/doc/tsmkit/cron.d
	install -m 755 $(filter-out examples/demo.sh,$(wildcard examples/*.sh)) $(DESTDIR)$(PREFIX)/share/doc/tsmkit/examples

clean:
	rm -rf build build-*

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -name '*.d')
-include $(shell [ -d $(FUZZ_BUILD) ] && find $(FUZZ_BUILD) -name '*.d')
