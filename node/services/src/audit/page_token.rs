//! Page tokens: where to go on, sealed to tenant, caller and query, with an end.
