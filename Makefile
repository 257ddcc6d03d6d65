# PGXS build of the extension: make, make install, make installcheck. scripts/test.sh runs all tests.
EXTENSION = hartonomous
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" hartonomous.control)
MODULE_big = hartonomous

SOURCES = $(sort $(wildcard src/core/*/*.cpp src/pg/*/*.cpp src/fn/*.cpp))
OBJS = $(SOURCES:.cpp=.o)

SQL_FRAGMENTS = $(addprefix sql/,$(shell sed -n "s/^\([a-z/_]*\.sql\):.*/\1/p" sql/manifest))
SQL_SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql
# The versions from which ALTER EXTENSION UPDATE leads to this one, by one script for all of them (sql/upgrade/before.sql).
UPGRADES_FROM = 0.1.0
UPGRADE_SCRIPTS = $(UPGRADES_FROM:%=sql/$(EXTENSION)--%--$(EXTVERSION).sql)
DATA_built = $(SQL_SCRIPT) $(UPGRADE_SCRIPTS)
EXTRA_CLEAN = $(SQL_SCRIPT) $(UPGRADE_SCRIPTS) $(SOURCES:.cpp=.d) $(COMPILED_FOR) build-regress

# The install surface; behaviour is tested by scripts/test.sh. The input directory is staged: sql from test/sql
# and specs from test/isolation, what both should print from expected; what they print lands there too.
REGRESS := $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=build-regress --outputdir=build-regress
ISOLATION := $(sort $(basename $(notdir $(wildcard test/isolation/*.spec))))
ISOLATION_OPTS = --inputdir=build-regress --outputdir=build-regress/isolation \
  --load-extension=postgis --load-extension=hartonomous

# Flags given to make, or in its environment, are added behind all others; they do not replace PostgreSQL's.
USER_CXXFLAGS := $(if $(filter command environment,$(firstword $(origin CXXFLAGS))),$(CXXFLAGS))
USER_CPPFLAGS := $(if $(filter command environment,$(firstword $(origin CPPFLAGS))),$(CPPFLAGS))
override undefine CXXFLAGS
override undefine CPPFLAGS

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
# No bitcode: PostgreSQL's JIT has no use for it here.
override with_llvm = no
include $(PGXS)

# Where Debian has them; other systems may say EIGEN=... and OPENBLAS=...
EIGEN ?= $(or $(patsubst -I%,%,$(firstword $(shell pkg-config --cflags-only-I eigen3 2>/dev/null))),/usr/include/eigen3)
# The OpenMP build of OpenBLAS, whichever one the system's alternatives prefer: src/core/thread_pool/blas_threads.hpp says
# why.
OPENBLAS ?= /usr/lib/$(shell $(CXX) -print-multiarch)/openblas-openmp

# Warnings are errors for who works on the source: scripts/test.sh sets HARTONOMOUS_WERROR.
OWN_CXXFLAGS = -std=c++17 -O3 -Wall -Wextra $(if $(HARTONOMOUS_WERROR),-Werror) -ffp-contract=off -fno-math-errno \
  -fvisibility=hidden -fvisibility-inlines-hidden -MMD -MP
# What PostgreSQL is built with for meaning (-fno-strict-aliasing, -fwrapv) and safety (stack protector). Warnings,
# level and link-time optimization are this Makefile's to choose; debugging information makes the library thirty times
# as large (CXXFLAGS=-g brings it); -fexcess-precision not every compiler takes for C++.
SERVER_CXXFLAGS := $(filter-out -W% -O% -g -g% -flto% -ffat-lto-objects -fexcess-precision=%,$(CXXFLAGS))
override CXXFLAGS := $(SERVER_CXXFLAGS) $(OWN_CXXFLAGS) $(USER_CXXFLAGS)
# PostgreSQL's headers are C: as system headers their warnings are not ours.
override CPPFLAGS := -Iinclude -Isrc -Isrc/core -isystem $(EIGEN) -isystem $(shell $(PG_CONFIG) --includedir-server) \
  $(CPPFLAGS) $(USER_CPPFLAGS)
# The core never sees PostgreSQL's headers, which are what needs these two; without them it is compiled as its unit
# tests and benchmarks are.
src/core/%.o: override CXXFLAGS := $(filter-out -fno-strict-aliasing -fwrapv,$(SERVER_CXXFLAGS)) $(OWN_CXXFLAGS) \
  $(USER_CXXFLAGS)

SHLIB_LINK += -lhwy -licuuc -lzstd -L$(OPENBLAS) -Wl,-rpath,$(OPENBLAS) -lopenblas -lgomp -lstdc++ -lm \
  -Wl,--version-script=src/pg/base/exports.map

# What was compiled for another PostgreSQL is compiled again.
COMPILED_FOR := build/compiled-for
$(shell mkdir -p build; $(PG_CONFIG) --version --configure | cksum >$(COMPILED_FOR).now; \
  cmp -s $(COMPILED_FOR).now $(COMPILED_FOR) || mv $(COMPILED_FOR).now $(COMPILED_FOR); rm -f $(COMPILED_FOR).now)
$(filter-out src/core/%,$(OBJS)): $(COMPILED_FOR)

# The library says which version it is; src/pg/base/version.cpp compares.
src/pg/base/version.o: override CPPFLAGS += -DHARTONOMOUS_VERSION='"$(EXTVERSION)"'
src/pg/base/version.o: hartonomous.control

%.o: %.cpp
	$(CXX) $(CXXFLAGS) $(CPPFLAGS) -c -o $@ $<

$(SQL_SCRIPT): sql/manifest $(SQL_FRAGMENTS) hartonomous.control
	cat $(SQL_FRAGMENTS) > $@

$(UPGRADE_SCRIPTS): $(SQL_SCRIPT) $(wildcard sql/upgrade/*)
	{ cat sql/upgrade/before.sql && awk -f sql/upgrade/replace.awk $(SQL_SCRIPT) && cat sql/upgrade/after.sql; } > $@

installcheck: build-regress
.PHONY: build-regress
build-regress:
	rm -rf build-regress && mkdir -p build-regress/sql build-regress/specs build-regress/expected build-regress/isolation
	for f in test/sql/*; do test ! -e "$$f" || cp -r "$$f" build-regress/sql || exit 1; done
	for f in test/isolation/*.spec; do test ! -e "$$f" || cp "$$f" build-regress/specs || exit 1; done
	for f in expected/*; do test ! -e "$$f" || cp -r "$$f" build-regress/expected || exit 1; done

-include $(SOURCES:.cpp=.d)
