// copy_atoms(): copies the atoms of one tensor from one partition to another and changes them as an operation requires
// (sql/internal/operations.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/spi.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"
#include "pg/model/embedding_hessian.hpp"
#include "pg/model/sequential_job.hpp"
#include "pg/store/atom_importance.hpp"
#include "pg/store/hessian_quantizer.hpp"
#include "pg/store/layer_importance.hpp"
#include "pg/store/low_rank_adder.hpp"
#include "pg/store/row_refitter.hpp"
#include "pg/store/table_writer.hpp"
#include "pg/store/tensor_operation.hpp"

#include <algorithm>
#include <memory>

extern "C" {
#include "lib/stringinfo.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/dest.h"
#include "utils/ruleutils.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// Receives the rows of the query and writes them. A plain struct, because the executor calls its functions.
struct atom_receiver {
  DestReceiver base;  // first, so that a pointer to it is a pointer to the struct
  table_writer writer;
  int* target;  // the column of the target for each column of the query
  int atom_data, atom_sequence;
  const quantized_rows* quantized;  // if not null, from where the weights come
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
  // Detoasted here, because the content hash and the insert would each detoast it again.
  Datum& data = to->tts_values[receiver->atom_data];
  if (to->tts_isnull[receiver->atom_data])
    ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("an atom without weights")));
  const int32 atom = DatumGetInt32(to->tts_values[receiver->atom_sequence]);
  if (receiver->quantized != nullptr && is_changed(*receiver->quantized, atom)) {
    const MemoryContext previous = MemoryContextSwitchTo(receiver->writer.batch_context());
    data = value_of(*receiver->quantized, atom);
    MemoryContextSwitchTo(previous);
  }
  if (VARATT_IS_EXTERNAL(DatumGetPointer(data))) {
    const MemoryContext previous = MemoryContextSwitchTo(receiver->writer.batch_context());
    data = PointerGetDatum(PG_DETOAST_DATUM(data));
    MemoryContextSwitchTo(previous);
  }
  const Size size = toast_raw_datum_size(data) - sizeof(weights_varlena);
  receiver->bytes += static_cast<int64>(size);
  receiver->writer.store_row(size);
  return true;
}

// Values are copied without conversion, so the types must be the same.
void check_types(DestReceiver* self, int, TupleDesc from) {
  const auto* receiver = reinterpret_cast<atom_receiver*>(self);
  for (int i = 0; i < from->natts; ++i) {
    const Form_pg_attribute value = TupleDescAttr(from, i);
    receiver->writer.require_type(receiver->target[i], value->atttypid, value->atttypmod);
  }
}
void ignore(DestReceiver*) {}

// The changes that copy_atoms() has to make, and what it must know of the layers. Flags and numbers only, because
// errors of PostgreSQL jump over the functions that build the query.
struct changes {
  bool quantized, planned, by_column, encoded, pruned, by_region, outside, scored;
  bool by_rows;   // weights come from an atom_quantizer, some rows at a time
  bool moved;     // to a layer of another model
  bool archived;  // the source is the view on the archive, and archived_revision is copied from there
  int32 archived_revision;
  int32 model, into_model, atom_size;  // of the source layer; into_model: of the target layer
  int64 columns;                       // of the source layer
  int32 matrix_rows;                   // rows to which the same part of the importance applies
};

// The parameters of the query, in order.
enum parameter {
  of_layer,
  into_layer,
  into_name,
  to_format,
  planned_formats,
  by_importance,
  least,
  in_box,
  from_atom,
  to_atom,
  scores,
  parameters
};
constexpr Oid parameter_types[parameters] = {INT8OID,   INT8OID,        TEXTOID, TEXTOID, JSONBOID,      FLOAT4ARRAYOID,
                                             FLOAT4OID, FLOAT4ARRAYOID, INT4OID, INT4OID, FLOAT4ARRAYOID};

// The new importance of an atom.
constexpr const char* score = "($11)[atom_sequence OPERATOR(pg_catalog.+) 1]";

// The format to be used for the format planned for the atom.
constexpr const char* target_format = "($5 OPERATOR(pg_catalog.->>) planned_format)";

// The expression in place of a column: NULL stands for the column itself.
const char* expression_of(const char* column, int32 revision, const changes& asked) {
  const auto is = [column](const char* name) { return std::strcmp(column, name) == 0; };
  if (is("revision_id")) return psprintf("%d", revision);
  if (is("model_id") && asked.moved) return psprintf("%d", asked.into_model);
  if (is("layer_id") && asked.moved) return "$2";
  if (is("tensor_name") && asked.moved) return "$3";
  if ((is("x") || is("y")) && asked.encoded) return "NULL::pg_catalog.float4";
  if (is("quantized_position") && asked.encoded) {
    return "COALESCE(hartonomous.encode_point(x, y, importance_score, $4), quantized_position)";
  }
  if (is("importance_score") && asked.scored) return score;
  if (is("quantized_position") && asked.scored) {
    return psprintf("hartonomous_internal.with_importance(quantized_position, %s)", score);
  }
  if (is("atom_data") && asked.by_rows) return "atom_data";  // receive() replaces it
  if (is("atom_data") && (asked.quantized || asked.planned)) {
    const char* format = asked.planned ? target_format : "$4";
    const char* quantized =
        asked.by_column
            ? psprintf(
                  "hartonomous_internal.quantize_rows(atom_data, %s, hartonomous_internal.part_of_row($6, " INT64_FORMAT
                  ", %d, %d, atom_sequence))",
                  format, asked.columns, asked.matrix_rows, asked.atom_size)
            : psprintf("hartonomous.quantize(atom_data, %s)", format);
    if (!asked.planned) return quantized;
    return psprintf(
        "CASE WHEN %s OPERATOR(pg_catalog.<>) hartonomous.weights_format(atom_data) THEN %s ELSE atom_data END",
        target_format, quantized);
  }
  return nullptr;
}

const char* text_of(Node* expression, Relation relation) {
  List* names = deparse_context_for(RelationGetRelationName(relation), RelationGetRelid(relation));
  return deparse_expression(expression, names, false, false);
}

// Whether the value of a generated column (such as the hash of all weights) can be copied from the source instead of
// being computed again: the source has the same expression, and the columns in it do not change.
bool same_in_source(const table_writer& writer, int position, Relation source, const changes& asked) {
  const Form_pg_attribute attribute = TupleDescAttr(writer.descriptor(), position);
  const AttrNumber number = get_attnum(RelationGetRelid(source), NameStr(attribute->attname));
  if (number == InvalidAttrNumber) return false;
  const Form_pg_attribute original = TupleDescAttr(RelationGetDescr(source), number - 1);
  if (original->attgenerated != attribute->attgenerated || original->atttypid != attribute->atttypid) return false;
  Node* const expression = build_column_default(source, number);
  Node* const wanted = build_column_default(writer.relation(), position + 1);
  if (std::strcmp(text_of(expression, source), text_of(wanted, writer.relation())) != 0) return false;
  Bitmapset* inputs = nullptr;
  pull_varattnos(expression, 1, &inputs);
  for (int i = -1; (i = bms_next_member(inputs, i)) >= 0;) {
    const int column = i + FirstLowInvalidHeapAttributeNumber;
    if (column <= 0) return false;
    if (expression_of(NameStr(TupleDescAttr(RelationGetDescr(source), column - 1)->attname), 0, asked) != nullptr)
      return false;
  }
  return true;
}

// Builds the query for the rows of the target. Columns that the source lacks get their defaults.
const char* build_query(atom_receiver& receiver, Oid source, int32 revision, const changes& asked) {
  const TupleDesc desc = receiver.writer.descriptor();
  const Relation from = table_open(source, AccessShareLock);
  receiver.target = static_cast<int*>(palloc(sizeof(int) * static_cast<std::size_t>(desc->natts)));
  StringInfoData query;
  initStringInfo(&query);
  int n = 0;
  for (int i = 0; i < desc->natts; ++i) {
    const Form_pg_attribute attribute = TupleDescAttr(desc, i);
    if (attribute->attisdropped) continue;
    const char* name = NameStr(attribute->attname);
    if (attribute->attgenerated != '\0') {
      if (attribute->attgenerated != ATTRIBUTE_GENERATED_STORED) continue;
      if (!same_in_source(receiver.writer, i, from, asked)) continue;
      receiver.writer.keep_generated(i);
    } else if (get_attnum(source, name) == InvalidAttrNumber) {
      receiver.writer.use_default(i);
      continue;
    }
    const char* expression = expression_of(name, revision, asked);
    appendStringInfo(&query, "%s%s", n == 0 ? "SELECT " : ", ",
                     expression != nullptr ? expression : quote_identifier(name));
    receiver.target[n++] = i;
  }
  table_close(from, NoLock);
  // The condition on the model, which all rows share, is needed because the primary key begins with it.
  appendStringInfo(&query, " FROM %s WHERE model_id OPERATOR(pg_catalog.=) %d AND layer_id OPERATOR(pg_catalog.=) $1",
                   quote_qualified_identifier(get_namespace_name(get_rel_namespace(source)), get_rel_name(source)),
                   asked.model);
  if (asked.archived) {
    appendStringInfo(&query, " AND revision_id OPERATOR(pg_catalog.=) %d", asked.archived_revision);
  }
  if (asked.by_rows) {
    appendStringInfoString(&query,
                           " AND atom_sequence OPERATOR(pg_catalog.>=) $9 "
                           "AND atom_sequence OPERATOR(pg_catalog.<) $10");
  }
  if (asked.pruned) {
    appendStringInfoString(&query, " AND (importance_score OPERATOR(pg_catalog.>=) $7 OR importance_score IS NULL)");
  }
  if (asked.by_region) {
    appendStringInfoString(&query, " AND hartonomous.in_region(weights_geometry, quantized_position, $8)");
    if (asked.outside) appendStringInfoString(&query, " IS NOT TRUE");
  }
  return query.data;
}

changes flags_of(const tensor_operation& operation) {
  changes asked = {};
  asked.quantized = operation.format && !operation.encodes_geometry;
  asked.by_rows = operation.by_hessian || operation.refits || operation.scale;
  asked.planned = operation.planned_formats.has_value();
  asked.encoded = operation.encodes_geometry;
  asked.pruned = operation.minimum_importance.has_value();
  asked.by_region = operation.region.has_value();
  asked.outside = operation.outside_region;
  asked.scored = operation.importance_method.has_value();
  return asked;
}

Datum array_datum(const std::vector<float>& values) {
  ArrayType* array = new_real_array(values.size());
  std::copy(values.begin(), values.end(), elements(array));
  return PointerGetDatum(array);
}

struct query_values {
  Datum values[parameters];
  bool nulls[parameters];
  void set(parameter which, Datum value) {
    values[which] = value;
    nulls[which] = false;
  }
};

query_values values_of(const tensor_operation& operation) {
  query_values to = {};
  std::fill_n(to.nulls, static_cast<int>(parameters), true);
  if (operation.format) to.set(to_format, text_datum(*operation.format));
  if (operation.planned_formats) to.set(planned_formats, *operation.planned_formats);
  if (operation.minimum_importance) to.set(least, Float4GetDatum(*operation.minimum_importance));
  if (operation.region) to.set(in_box, array_datum(*operation.region));
  return to;
}

// The number of rows of one of the matrices in a tensor.
int32 rows_of(const std::vector<std::int64_t>& shape) {
  const std::int64_t rows = shape.size() < 2 ? 1 : shape[shape.size() - 2];
  return static_cast<int32>(std::clamp<std::int64_t>(rows, 1, INT32_MAX));
}

// Reads the models of the source and target layers, and the name that the target layer has in the revision.
Datum look_up_layers(Datum layer, std::int32_t revision, Datum into, changes& asked) {
  const query_result found = select(
      "SELECT l.model_id, l.atom_size, i.model_id, coalesce(n.layer_name, i.layer_name), l.row_length, l.tensor_shape "
      "FROM hartonomous.model_layers l, hartonomous.model_layers i "
      "LEFT JOIN hartonomous_internal.layers_of_revision($3) n ON n.layer_id OPERATOR(pg_catalog.=) i.layer_id "
      "WHERE l.layer_id OPERATOR(pg_catalog.=) $1 AND i.layer_id OPERATOR(pg_catalog.=) $2",
      "model_layers", {{INT8OID, layer}, {INT8OID, into}, {INT4OID, Int32GetDatum(revision)}});
  if (found.rows() != 1) throw error(sqlstate::undefined_object, "there is no such layer");
  asked.model = found.integer(0, 1);
  asked.atom_size = found.integer(0, 2, 1);
  asked.into_model = found.integer(0, 3);
  asked.columns = found.bigint(0, 5);
  asked.matrix_rows = rows_of(found.bigints(0, 6));
  return text_datum(found.text(0, 4));
}

// A stored step may have been changed since its plan was checked.
void require_importance_of(const tensor_operation& operation, std::int64_t columns) {
  if (!operation.column_importance) return;
  const auto given = static_cast<std::int64_t>(operation.column_importance->size());
  if (given == columns) return;
  throw error(sqlstate::array_subscript_error,
              "importance has " + std::to_string(given) + " numbers for " + std::to_string(columns) + " columns");
}

// The importance of the columns is given with the operation, or named by it. Experts have their own only in the latter
// case, in which there are more numbers than columns.
void look_up_importance(tensor_operation& operation, std::int64_t layer, changes& asked, query_values& given) {
  require_importance_of(operation, asked.columns);
  const bool quantizes = asked.quantized || asked.planned;
  if (quantizes && operation.calibration_set && !operation.by_hessian) {
    operation.column_importance =
        read_layer_importance(layer, *operation.calibration_set, operation.calibration_revision);
  }
  if (!operation.column_importance) return;
  asked.by_column = true;
  if (operation.column_importance->size() == static_cast<std::size_t>(asked.columns)) asked.matrix_rows = INT32_MAX;
  given.set(by_importance, array_datum(*operation.column_importance));
}

std::string operation_name(FunctionCallInfo fcinfo, int argument) {
  text* const name = call([&] { return PG_GETARG_TEXT_PP(argument); });
  return std::string(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}

}  // namespace

// The query for the rows, planned. May be executed several times.
struct copying {
  atom_receiver receiver;
  const char* query;
  SPIPlanPtr plan;

  void open(Oid source, Oid target, int32 revision, const changes& asked, bool parallel) {
    receiver.base.receiveSlot = receive;
    receiver.base.rStartup = check_types;
    receiver.base.rShutdown = ignore;
    receiver.base.rDestroy = ignore;
    receiver.base.mydest = DestIntoRel;  // like CREATE TABLE AS: rows go to a table
    receiver.writer.open(target, asked.into_model, revision);
    receiver.atom_data = receiver.writer.position_of("atom_data", weights_type());
    receiver.atom_sequence = receiver.writer.position_of("atom_sequence", INT4OID);
    query = build_query(receiver, source, revision, asked);
    Oid types[parameters];
    std::copy_n(parameter_types, static_cast<int>(parameters), types);
    plan = SPI_prepare_cursor(query, parameters, types, parallel ? CURSOR_OPT_PARALLEL_OK : 0);
    if (plan == nullptr) elog(ERROR, "query cannot be planned: %s", query);
  }

  void execute(const query_values& given) {
    ParamListInfo list = makeParamList(parameters);
    for (int i = 0; i < parameters; ++i) {
      list->params[i].value = given.values[i];
      list->params[i].isnull = given.nulls[i];
      list->params[i].pflags = PARAM_FLAG_CONST;
      list->params[i].ptype = parameter_types[i];
    }
    SPIExecuteOptions options = {};
    options.params = list;
    options.read_only = false;  // uses a new snapshot, as a statement of its own would
    options.dest = &receiver.base;
    if (SPI_execute_plan_extended(plan, &options) != SPI_OK_SELECT) elog(ERROR, "query failed: %s", query);
  }
};

// Some rows of the matrix after the other, each from its weights in all atoms.
void copy_by_rows(copying& copy, query_values& given, atom_quantizer& quantizer) {
  while (quantizer.next()) {
    copy.receiver.quantized = &quantizer.rows();
    given.set(from_atom, Int32GetDatum(quantizer.rows().first));
    given.set(to_atom, Int32GetDatum(quantizer.rows().end));
    call([&] { copy.execute(given); });
  }
}

// What changes whole rows at a time; nullptr if the operation changes each atom by itself.
std::unique_ptr<atom_quantizer> open_quantizer(const rewritten_partition& run, std::int64_t layer,
                                               const tensor_operation& operation, bool moved) {
  if (operation.refits) return std::make_unique<row_refitter>(run.source, layer, operation);
  if (operation.scale) return std::make_unique<low_rank_adder>(run.source, layer, operation);
  if (!operation.by_hessian) return nullptr;
  if (!operation.sequential) {
    return open_hessian_quantizer(run.source, layer, operation, [&](const calibration_place& place) {
      thread_pool pool(static_cast<unsigned>(current_settings.threads));
      model_tensors tensors(live_atoms(run.model));
      return gram_of_embedding(place, tensors, pool);
    });
  }
  if (moved) throw error(sqlstate::feature_not_supported, "a student's tensors are not quantized in sequence");
  return std::make_unique<sequential_tensor>(run, layer, operation);
}

// The rows come from a separate query that PostgreSQL can execute in parallel: the workers quantize while this process
// writes. INSERT ... SELECT is never executed in parallel.
HARTONOMOUS_FUNCTION(copy_atoms) {
  for (int required : {0, 1, 2, 3, 4, 5, 7}) {
    if (PG_ARGISNULL(required)) {
      throw error(sqlstate::null_value_not_allowed, "only into_layer and archived_revision may be NULL");
    }
  }
  const Oid source = PG_GETARG_OID(0), target = PG_GETARG_OID(1);
  const int32 revision = PG_GETARG_INT32(2);
  const Datum layer = PG_GETARG_DATUM(3);
  const bool moved = !PG_ARGISNULL(6), parallel = PG_GETARG_BOOL(7);
  const std::string name = operation_name(fcinfo, 4);
  tensor_operation operation = read_operation(name, PG_GETARG_DATUM(5));
  if (!operation.changes_atoms) {
    throw error(sqlstate::invalid_parameter_value, "operation \"" + name + "\" is not one that copies atoms", {},
                "hartonomous_internal.perform_operation() carries out any operation.");
  }
  changes asked = flags_of(operation);
  asked.moved = moved;
  asked.archived = !PG_ARGISNULL(8);
  if (asked.archived) asked.archived_revision = PG_GETARG_INT32(8);
  // These read the source again, row by row.
  if (asked.archived && (asked.by_rows || asked.scored)) {
    throw error(sqlstate::feature_not_supported, "archived atoms cannot be copied by operation \"" + name + "\"", {},
                "CALL hartonomous.restore_archived_model(model);");
  }
  query_values given = values_of(operation);
  spi_session spi;
  given.set(of_layer, layer);
  given.set(into_layer, moved ? PG_GETARG_DATUM(6) : layer);
  given.set(into_name, look_up_layers(layer, revision, given.values[into_layer], asked));
  look_up_importance(operation, DatumGetInt64(layer), asked, given);
  copying copy = {};
  try {
    const rewritten_partition run = {asked.model, revision, source, target};
    const std::unique_ptr<atom_quantizer> quantizer = open_quantizer(run, DatumGetInt64(layer), operation, moved);
    if (asked.scored) given.set(scores, array_datum(atom_importance(source, DatumGetInt64(layer), operation)));
    call([&] { copy.open(source, target, revision, asked, parallel && !quantizer); });
    if (quantizer) {
      copy_by_rows(copy, given, *quantizer);
    } else {
      call([&] { copy.execute(given); });
    }
    call([&] { copy.receiver.writer.close(); });
  } catch (const pg_error& e) {
    // The error of a value that cannot be quantized names its position in the row only, so the layer is added here.
    e.data()->context = call([&] {
      return psprintf("copying layer " INT64_FORMAT " of table \"%s\"%s%s", DatumGetInt64(layer), get_rel_name(source),
                      e.data()->context != nullptr ? "\n" : "", e.data()->context != nullptr ? e.data()->context : "");
    });
    throw;
  }
  result_rows rows(fcinfo);
  const Datum values[2] = {Int64GetDatum(copy.receiver.writer.rows()), Int64GetDatum(copy.receiver.bytes)};
  const bool value_nulls[2] = {};
  rows.add(values, value_nulls);
  PG_RETURN_NULL();
}

HARTONOMOUS_FUNCTION(check_operation) {
  if (PG_ARGISNULL(0)) throw error(sqlstate::null_value_not_allowed, "an operation needs a name");
  if (PG_ARGISNULL(1)) throw error(sqlstate::null_value_not_allowed, "arguments of an operation cannot be NULL");
  read_operation(operation_name(fcinfo, 0), PG_GETARG_DATUM(1));
  PG_RETURN_VOID();
}
