// Whether this library and the SQL of the extension are of the same version. After the files of a new version were
// installed, every session that starts loads the new library, but a database has the SQL of the old version until ALTER
// EXTENSION UPDATE: functions would get arguments that they do not expect.
#pragma once

namespace hartonomous::pg {

// The version from which this library was compiled.
const char* library_version() noexcept;

// Has entry() compare the versions before the first function that a session calls, and again whenever functions have
// changed. It throws object_not_in_prerequisite_state if they differ.
void watch_version();

}  // namespace hartonomous::pg
