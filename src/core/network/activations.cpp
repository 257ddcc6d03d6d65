// The error of activations that are not finite (activations.hpp).
#include "network/activations.hpp"

namespace hartonomous::network_detail {

void refuse_activations(const char* side, const std::string& tensor, source_location thrown) {
  throw error(sqlstate::object_not_in_prerequisite_state,
              "the " + std::string(side) + " of tensor \"" + tensor + "\" is not finite",
              "Some activation, or a sum over activations, is NaN or beyond the range of floats.",
              "SELECT * FROM hartonomous.check_model(model); finds weights that are not finite.", thrown);
}

}  // namespace hartonomous::network_detail
