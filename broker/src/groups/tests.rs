//! The group's state machine, without a network and with a clock of its own.
