//! What the fuzz targets do with their inputs. The tests of the workspace do the same with a few.

pub mod bytes;
pub mod chunks;
pub mod client;
pub mod loading;
pub mod messages;
pub mod sealing;
