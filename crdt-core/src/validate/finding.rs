//! What a validation finds.

use std::fmt;

use serde::Serialize;

use crate::id::CourseId;
use crate::inert::{InertFact, InertList, InertReason};

/// How much a finding matters. Ordered: the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody is shut out, or somebody has tampered.
    Error,
}

/// Whose it is to mend what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mender {
    /// It needs no guess: there is a plan for it, see [`super::fix`].
    Fix,
    /// Nothing is to be done: the fold has decided already.
    Nobody,
    /// Somebody must decide what was meant.
    Person,
}

/// Who mends what was found, and why it is theirs to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Remedy {
    pub by: Mender,
    pub why: &'static str,
}

/// The situations that are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FindingKind {
    OrphanCourse,
    OrphanUser,
    PendingWhileEnrolled,
    DuplicateRequest,
    MissingEnrollment,
    MissingProgress,
    DivergingProgress,
    UnknownStatus,
    NonCanonicalStatus,
    PaidNotEnrolled,
    BadSignature,
    InertValue,
    NegativeAllotment,
    LostFact,
}

impl FindingKind {
    /// Every situation.
    pub const ALL: [Self; 14] = [
        Self::OrphanCourse,
        Self::OrphanUser,
        Self::PendingWhileEnrolled,
        Self::DuplicateRequest,
        Self::MissingEnrollment,
        Self::MissingProgress,
        Self::DivergingProgress,
        Self::UnknownStatus,
        Self::NonCanonicalStatus,
        Self::PaidNotEnrolled,
        Self::BadSignature,
        Self::InertValue,
        Self::NegativeAllotment,
        Self::LostFact,
    ];

    /// Who mends it.
    pub const fn remedy(self) -> Remedy {
        let (by, why) = match self {
            Self::PaidNotEnrolled => (Mender::Fix, "What was paid for is opened."),
            Self::OrphanCourse => (Mender::Fix, "Access to a course that is no more is ended."),
            Self::LostFact => (Mender::Fix, "The history still has it, and its signature still holds."),
            Self::PendingWhileEnrolled => {
                (Mender::Nobody, "Enrollments are the source of truth: enrolled counts.")
            }
            Self::DuplicateRequest => (Mender::Nobody, "However often somebody asked, it is one request."),
            Self::MissingProgress => (Mender::Nobody, "Progress begins at nothing."),
            Self::DivergingProgress => (Mender::Nobody, "Progress never goes back: the furthest counts."),
            Self::NonCanonicalStatus => (Mender::Nobody, "It is read as the word that it spells."),
            Self::InertValue => {
                (Mender::Nobody, "It counts for nothing, and a newer version may know what it is.")
            }
            Self::OrphanUser => {
                (Mender::Person, "The student may be missing there, or the document may be nobody's.")
            }
            Self::MissingEnrollment => {
                (Mender::Person, "Nothing says whether an enrollment was lost, or never was.")
            }
            Self::UnknownStatus => (Mender::Person, "Only a person knows what the word was to mean."),
            Self::BadSignature => {
                (Mender::Person, "It counts for nothing, and somebody tried to make it count.")
            }
            Self::NegativeAllotment => (Mender::Person, "Somebody was promised what can't be had."),
        };
        Remedy { by, why }
    }

    /// How much it matters.
    pub const fn severity(self) -> Severity {
        match self {
            Self::NonCanonicalStatus | Self::MissingProgress | Self::DuplicateRequest => Severity::Info,
            Self::OrphanCourse
            | Self::PendingWhileEnrolled
            | Self::MissingEnrollment
            | Self::DivergingProgress
            | Self::InertValue => Severity::Warning,
            Self::OrphanUser
            | Self::UnknownStatus
            | Self::PaidNotEnrolled
            | Self::BadSignature
            | Self::NegativeAllotment
            | Self::LostFact => Severity::Error,
        }
    }
}

/// One thing that a person should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    pub kind: FindingKind,
    pub severity: Severity,
    /// The course that it is about, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<CourseId>,
    /// The situation, for people.
    pub sentence: String,
    /// Who mends it, and why.
    pub remedy: Remedy,
    /// The root keys of the facts behind it.
    pub facts: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Everything found in one document: the gravest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    findings: Vec<Finding>,
    /// Inert facts beyond those listed.
    more: usize,
}

impl Findings {
    /// The findings, the gravest first.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter()
    }

    /// How many inert facts there are beyond those told of.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        course: Option<&CourseId>,
        sentence: String,
        facts: Vec<String>,
    ) {
        let severity = kind.severity();
        let (course, remedy) = (course.cloned(), kind.remedy());
        self.findings.push(Finding { kind, severity, course, sentence, remedy, facts });
    }

    /// What a fold ignores.
    pub(super) fn add_inert(&mut self, inert: &InertList) {
        for fact in inert.facts() {
            let InertFact { key, reason } = fact;
            let kind = match reason {
                InertReason::NotSigned
                | InertReason::BadSignature { .. }
                | InertReason::NotTrusted { .. }
                | InertReason::NotEntitled { .. }
                | InertReason::Misplaced { .. } => FindingKind::BadSignature,
                _ => FindingKind::InertValue,
            };
            let sentence = format!("What stands under {key} counts for nothing: {reason}.");
            self.add(kind, None, sentence, vec![key.to_string()]);
        }
        self.more += inert.more();
    }

    pub(super) fn sorted(mut self) -> Self {
        self.findings.sort_by(|left, right| {
            let rank = |finding: &Finding| (std::cmp::Reverse(finding.severity), finding.kind);
            rank(left).cmp(&rank(right)).then_with(|| left.facts.cmp(&right.facts))
        });
        self
    }
}
