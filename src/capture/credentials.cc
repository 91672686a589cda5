#include "capture/credentials.h"

namespace perdure::capture {
void put_credentials(const kernel::proc::TaskStatus& status, object::Credentials* record) {
  record->set_uid(status.uids[0]);
  record->set_euid(status.uids[1]);
  record->set_suid(status.uids[2]);
  record->set_fsuid(status.uids[3]);
  record->set_gid(status.gids[0]);
  record->set_egid(status.gids[1]);
  record->set_sgid(status.gids[2]);
  record->set_fsgid(status.gids[3]);
  record->mutable_groups()->Assign(status.groups.begin(), status.groups.end());
  record->set_cap_inheritable(status.cap_inheritable);
  record->set_cap_permitted(status.cap_permitted);
  record->set_cap_effective(status.cap_effective);
  record->set_cap_bounding(status.cap_bounding);
  record->set_cap_ambient(status.cap_ambient);
  record->set_no_new_privs(status.no_new_privs);
}

}  // namespace perdure::capture
