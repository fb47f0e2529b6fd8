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
        self.findings.push(Finding { kind, severity, course: course.cloned(), sentence, facts });
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
