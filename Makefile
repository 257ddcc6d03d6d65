# PGXS build of the extension: make, make install, make installcheck. scripts/test.sh runs all tests.
EXTENSION = hartonomous
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" hartonomous.control)
MODULE_big = hartonomous

SOURCES = $(sort $(wildcard src/core/*/*.cpp src/pg/*.cpp src/fn/*.cpp))
OBJS = $(SOURCES:.cpp=.o)

SQL_FRAGMENTS = $(addprefix sql/,$(shell cat sql/manifest))
SQL_SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(SQL_SCRIPT)
DATA = $(wildcard sql/upgrade/*.sql)
EXTRA_CLEAN = $(SQL_SCRIPT) $(SOURCES:.cpp=.d) build-regress

# The install surface; behaviour is tested by scripts/test.sh. The input directory is staged: sql from test/sql
# and specs from test/isolation, what both should print from expected; what they print lands there too.
REGRESS := $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=build-regress --outputdir=build-regress
ISOLATION := $(sort $(basename $(notdir $(wildcard test/isolation/*.spec))))
ISOLATION_OPTS = --inputdir=build-regress --outputdir=build-regress/isolation \
  --load-extension=postgis --load-extension=hartonomous

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
# No bitcode: PostgreSQL's JIT has no use for it here.
override with_llvm = no
include $(PGXS)

PG_CXXFLAGS_CORE = -std=c++17 -O3 -fPIC -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno \
  -fvisibility=hidden -fvisibility-inlines-hidden -Iinclude -Isrc -Isrc/core -isystem /usr/include/eigen3 -MMD -MP
# PostgreSQL's headers are C: as system headers their warnings are not ours.
PG_SYSTEM = -isystem $(shell $(PG_CONFIG) --includedir-server)
override CXXFLAGS := $(PG_CXXFLAGS_CORE)
override CPPFLAGS := $(PG_SYSTEM) -D_GNU_SOURCE
# The OpenMP build of OpenBLAS, whichever one the system's alternatives prefer: src/core/workers/blas_threads.hpp says
# why.
OPENBLAS = /usr/lib/$(shell $(CXX) -print-multiarch)/openblas-openmp
SHLIB_LINK += -lhwy -licuuc -L$(OPENBLAS) -Wl,-rpath,$(OPENBLAS) -lopenblas -lgomp -lstdc++ -lm \
  -Wl,--version-script=src/pg/exports.map

%.o: %.cpp
	$(CXX) $(CXXFLAGS) $(CPPFLAGS) -c -o $@ $<

$(SQL_SCRIPT): sql/manifest $(SQL_FRAGMENTS) hartonomous.control
	cat $(SQL_FRAGMENTS) > $@

installcheck: build-regress
.PHONY: build-regress
build-regress:
	rm -rf build-regress && mkdir -p build-regress/sql build-regress/specs build-regress/expected build-regress/isolation
	for f in test/sql/*; do test ! -e "$$f" || cp -r "$$f" build-regress/sql || exit 1; done
	for f in test/isolation/*.spec; do test ! -e "$$f" || cp "$$f" build-regress/specs || exit 1; done
	for f in expected/*; do test ! -e "$$f" || cp -r "$$f" build-regress/expected || exit 1; done

-include $(SOURCES:.cpp=.d)
