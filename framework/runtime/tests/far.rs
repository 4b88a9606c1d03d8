//! The tests of `cells` once more, with instances that live elsewhere: whatever holds of an actor holds of one whose
//! turns are taken in another process. Only `hanging` is not here, which is about threads that take turns.
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "what only `hanging` needs")]

#[path = "cells/away.rs"]
mod away;
#[path = "cells/bridge.rs"]
mod bridge;
#[path = "cells/checkpoints.rs"]
mod checkpoints;
#[path = "cells/crashing.rs"]
mod crashing;
#[path = "cells/ending.rs"]
mod ending;
#[path = "cells/far.rs"]
mod far;
#[path = "cells/keeping.rs"]
mod keeping;
#[path = "cells/moving.rs"]
mod moving;
#[path = "cells/probation.rs"]
mod probation;
#[path = "cells/replaying.rs"]
mod replaying;
#[path = "cells/retiming.rs"]
mod retiming;
#[path = "cells/supervision.rs"]
mod supervision;
#[path = "cells/support.rs"]
mod support;
#[path = "cells/timing.rs"]
mod timing;
#[path = "cells/unsent.rs"]
mod unsent;
#[path = "cells/ways.rs"]
mod ways;
