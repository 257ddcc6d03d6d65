// copy_atoms: one tensor's atoms from one partition into another, changed on the way (sql/50-rewrite.sql).
#include "pg/rows.hpp"
#include "pg/spi.hpp"
#include "pg/table_writer.hpp"
#include "pg/weights.hpp"

extern "C" {
#include "lib/stringinfo.h"
#include "tcop/dest.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// Takes the rows of the query, whose columns are those of the target in its order, and writes them. A plain struct
// of PostgreSQL's: its functions are called from the executor.
struct atom_receiver {
  DestReceiver base;  // first, so that a pointer to it is one to this
  table_writer writer;
  int* target;  // of each column of the query
  int atom_data;
  int64 bytes;
};

bool receive(TupleTableSlot* from, DestReceiver* self) {
  auto* receiver = reinterpret_cast<atom_receiver*>(self);
  slot_getallattrs(from);
  TupleTableSlot* to = receiver->writer.begin_row();
  for (int i = 0; i < from->tts_tupleDescriptor->natts; ++i) {
    to->tts_values[receiver->target[i]] = from->tts_values[i];
    to->tts_isnull[receiver->target[i]] = from->tts_isnull[i];
  }
  // Fetched from TOAST here, once: the content hash and the insert would each fetch it again.
  Datum& data = to->tts_values[receiver->atom_data];
  if (VARATT_IS_EXTERNAL(DatumGetPointer(data))) {
    MemoryContext const previous = MemoryContextSwitchTo(receiver->writer.batch_context());
    data = PointerGetDatum(PG_DETOAST_DATUM(data));
    MemoryContextSwitchTo(previous);
  }
  const Size size = toast_raw_datum_size(data) - sizeof(weights_varlena);
  receiver->bytes += static_cast<int64>(size);
  receiver->writer.store_row(size);
  return true;
}

void ignore_startup(DestReceiver*, int, TupleDesc) {}
void ignore(DestReceiver*) {}

// The query that makes the target's rows. Columns the source does not have are left to their defaults.
const char* build_query(atom_receiver& receiver, Oid source, int32 revision, bool quantized, bool cut) {
  const TupleDesc desc = receiver.writer.descriptor();
  receiver.target = static_cast<int*>(palloc(sizeof(int) * static_cast<std::size_t>(desc->natts)));
  StringInfoData query;
  initStringInfo(&query);
  int n = 0;
  for (int i = 0; i < desc->natts; ++i) {
    const Form_pg_attribute attribute = TupleDescAttr(desc, i);
    if (attribute->attisdropped || attribute->attgenerated != '\0') continue;
    const char* name = NameStr(attribute->attname);
    if (get_attnum(source, name) == InvalidAttrNumber) {
      receiver.writer.use_default(i);
      continue;
    }
    appendStringInfoString(&query, n == 0 ? "SELECT " : ", ");
    if (std::strcmp(name, "revision_id") == 0) {
      appendStringInfo(&query, "%d", revision);
    } else if (quantized && std::strcmp(name, "atom_data") == 0) {
      appendStringInfoString(&query, "hartonomous.quantize(atom_data, $2)");
    } else {
      appendStringInfoString(&query, quote_identifier(name));
    }
    receiver.target[n++] = i;
  }
  appendStringInfo(&query, " FROM %s WHERE layer_id OPERATOR(pg_catalog.=) $1",
                   quote_qualified_identifier(get_namespace_name(get_rel_namespace(source)), get_rel_name(source)));
  if (cut) {
    appendStringInfoString(&query, " AND (importance_score OPERATOR(pg_catalog.>=) $3 OR importance_score IS NULL)");
  }
  return query.data;
}

}  // namespace

// The rows come from a query of its own, which PostgreSQL may run in parallel: the workers quantize while this
// process writes. INSERT ... SELECT could not: it never plans in parallel.
HARTONOMOUS_FUNCTION(copy_atoms) {
  for (int required : {0, 1, 2, 3, 6}) {
    if (PG_ARGISNULL(required)) throw error("22004", "only target_format and minimum_importance may be NULL");
  }
  const Oid source = PG_GETARG_OID(0), target = PG_GETARG_OID(1);
  const int32 revision = PG_GETARG_INT32(2);
  const bool quantized = !PG_ARGISNULL(4), cut = !PG_ARGISNULL(5), parallel = PG_GETARG_BOOL(6);
  if (quantized) format_argument(call([&] { return PG_GETARG_TEXT_PP(4); }));  // 22023 before any row is read
  const Datum arguments[3] = {PG_GETARG_DATUM(3), quantized ? PG_GETARG_DATUM(4) : 0, cut ? PG_GETARG_DATUM(5) : 0};
  atom_receiver receiver = {};
  spi_session spi;
  try {
    call([&] {
      receiver.base.receiveSlot = receive;
      receiver.base.rStartup = ignore_startup;
      receiver.base.rShutdown = ignore;
      receiver.base.rDestroy = ignore;
      receiver.base.mydest = DestIntoRel;  // as CREATE TABLE AS: rows go into a table
      receiver.writer.open(target);
      receiver.atom_data = receiver.writer.position_of("atom_data");
      const char* query = build_query(receiver, source, revision, quantized, cut);
      Oid parameter_types[3] = {INT8OID, TEXTOID, FLOAT4OID};
      ParamListInfo parameters = makeParamList(3);
      const bool nulls[3] = {false, !quantized, !cut};
      for (int i = 0; i < 3; ++i) {
        parameters->params[i].value = arguments[i];
        parameters->params[i].isnull = nulls[i];
        parameters->params[i].pflags = PARAM_FLAG_CONST;
        parameters->params[i].ptype = parameter_types[i];
      }
      SPIExecuteOptions options = {};
      options.params = parameters;
      options.read_only = false;  // a fresh snapshot, as a statement of its own would have
      options.dest = &receiver.base;
      SPIPlanPtr plan = SPI_prepare_cursor(query, 3, parameter_types, parallel ? CURSOR_OPT_PARALLEL_OK : 0);
      if (plan == nullptr || SPI_execute_plan_extended(plan, &options) != SPI_OK_SELECT) {
        elog(ERROR, "query failed: %s", query);
      }
      receiver.writer.close();
    });
  } catch (const pg_error& e) {
    // A value that cannot be quantized says only its position: say where it lies.
    e.data()->context = call([&] {
      return psprintf("copying layer " INT64_FORMAT " of table \"%s\"%s%s", DatumGetInt64(arguments[0]),
                      get_rel_name(source), e.data()->context != nullptr ? "\n" : "",
                      e.data()->context != nullptr ? e.data()->context : "");
    });
    throw;
  }
  result_rows rows(fcinfo);
  const Datum values[2] = {Int64GetDatum(receiver.writer.rows()), Int64GetDatum(receiver.bytes)};
  const bool nulls[2] = {};
  rows.add(values, nulls);
  PG_RETURN_NULL();
}
