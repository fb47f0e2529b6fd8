//! Importing the rows of older tables: `enrollments`, `accessRequests`, `payments`, `studentProgress`, and cart rows.
//!
//! Each row becomes **one change that depends on nothing but the row**: the same row, imported on any device, any number
//! of times, in any order, together with any others, is the same change. So two servers may import overlapping halves,
//! an import that was interrupted is simply run again, and a row that was imported and since acted upon is not undone.
//!
//! ```
//! use crdt_core::authority::{AuthorityKey, Role, TrustSet};
//! use crdt_core::document::Document;
//! use crdt_core::enrollment::{Enrollments, Policy, Status};
//! use crdt_core::id::{ActorId, CourseId, StudentId};
//! use crdt_core::import::{Plan, Table, Target};
//! use crdt_core::time::Timestamp;
//! use serde_json::json;
//!
//! let system = AuthorityKey::from_seed([7; 32]);
//! let mut plan = Plan::new(system.clone());
//! plan.read(Table::Enrollments, &[
//!     json!({"id": "1", "userId": "student-7", "courseId": "rust-101", "status": "Enrolled"}),
//!     json!({"id": "2", "userId": "student-7", "courseId": "go-101", "status": "enroled?"}),
//! ]);
//! // Nothing has been written yet. The report says what would be, and which rows are wrong.
//! assert_eq!(plan.report().bad[0].to_string(), "enrollments row 2 (id 2): status \"enroled?\" is not a known word");
//!
//! let student = StudentId::new("student-7")?;
//! let mut document = Document::new(ActorId::from_bytes([1; 16]));
//! let target = Target::Enrollments(student.clone());
//! assert_eq!(plan.apply(&target, &mut document)?.new, 1);
//! assert_eq!(plan.apply(&target, &mut document)?.new, 0);
//!
//! let mut trust = TrustSet::default();
//! trust.trust(system.public(), Role::System);
//! let mut enrollments = Enrollments::open(document, student, Policy::from(trust))?;
//! let course = CourseId::new("rust-101")?;
//! assert_eq!(enrollments.course(&course, Timestamp::ZERO).status, Status::Active);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | table | a row is | what it becomes |
//! |---|---|---|
//! | `enrollments` | `id, userId, courseId, status, updatedAt?` | a signed legacy fact: the source of truth for access |
//! | `accessRequests` | the same | a signed legacy fact: speaks where `enrollments` has no row |
//! | `payments` | the same | a signed legacy fact: information, it opens nothing |
//! | `studentProgress` | `id, userId, courseId, progress?, completedLessons?, updatedAt?` | the least percentage, lessons done, and the fact |
//! | `cartItems` | `id, userId, sku, quantity, options?, savedForLater?, priceMinor?, currency?` | units in the cart, or saved for later |
//!
//! `studentId` is another name for `userId`, and `percent` for `progress`. Times are milliseconds. Fields that are not
//! listed are ignored. What is imported later about the same row stands beside what was imported earlier: of a course
//! row the latest `updatedAt` counts, of a cart row the largest quantity.

mod plan;
mod row;

pub use self::plan::{BadRow, ImportError, Imported, Plan, Report, Tally};
pub use self::row::{RowError, Table, Target};
