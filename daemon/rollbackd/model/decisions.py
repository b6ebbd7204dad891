"""The closed set of reasons. A reason is the log field, the metric label and the audit entry."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a decision was taken."""

    # Opening
    #: A rule fired, and nothing stood against acting on it.
    TRIGGER_FIRED = "trigger_fired"
    #: A person pulled the branch by hand.
    PULLED_BY_OPERATOR = "pulled_by_operator"
    #: The scope has an open incident, and the trigger joined it.
    JOINED_OPEN_INCIDENT = "joined_open_incident"
    #: A branch of higher priority took the incident over.
    PREEMPTED_BY_HIGHER_BRANCH = "preempted_by_higher_branch"
    #: The trigger names no scope that can be rolled back.
    NO_SCOPE = "no_scope"
    #: The trigger names a branch that the decision tree does not have.
    UNKNOWN_BRANCH = "unknown_branch"

    # Guardrails
    #: An operator has paused the daemon.
    PAUSED = "paused"
    #: The branch, or the daemon, only observes.
    OBSERVE_MODE = "observe_mode"
    #: The newest data behind the trigger is older than `max_event_age`.
    STALE_DATA = "stale_data"
    #: No known good set is recorded for the scope.
    NO_KNOWN_GOOD = "no_known_good"
    #: The scope was acted on less than `cooldown` ago.
    COOLDOWN = "cooldown"
    #: The lever, rule, scope or global budget of acts is spent.
    BUDGET_SPENT = "budget_spent"
    #: Too few of the series that the rule usually reads report.
    INPUT_COVERAGE = "input_coverage"
    #: What runs is what is known to be good: there is nothing to go back to.
    KNOWN_GOOD_IS_CURRENT = "known_good_is_current"
    #: Nobody changed anything about the scope lately, and the branch wants a change to roll back.
    NO_RECENT_CHANGE = "no_recent_change"
    #: A maintenance window covers the scope.
    MAINTENANCE_WINDOW = "maintenance_window"
    #: A change freeze covers the scope, and the policy respects it.
    CHANGE_FREEZE = "change_freeze"
    #: As many incidents as may act at the same time already do.
    CONCURRENT_INCIDENTS = "concurrent_incidents"
    #: Many scopes tripped at once: one cause, and it is not the canary.
    CORRELATED_TRIPS = "correlated_trips"
    #: Too large a share of the scopes would be acted on at the same time.
    BLAST_RADIUS = "blast_radius"
    #: The last acts on this scope did not help.
    INEFFECTIVE_CHAIN = "ineffective_chain"
    #: The scope was flipped so often that it is latched until a person resets it.
    FLAP_LATCH = "flap_latch"
    #: The branch asks a person first.
    APPROVAL_NEEDED = "approval_needed"
    #: A person said yes.
    APPROVED = "approved"
    #: A person said no.
    DECLINED = "declined"
    #: Nobody answered before the deadline; the policy says what then.
    APPROVAL_EXPIRED = "approval_expired"

    # Moving on
    #: The pins that changed belong to another branch, which shows the same symptoms.
    PIN_DIFF_DECIDED = "pin_diff_decided"
    #: The change is planned and journaled; nothing has moved yet.
    ACT_PLANNED = "act_planned"
    #: The evidence is stored.
    EVIDENCE_CAPTURED = "evidence_captured"
    #: The fence was read back; the probes of the branch are asked.
    FREEZE_IN_FORCE = "freeze_in_force"
    #: Writers are frozen: the fence was read back, and every probe of the branch agrees.
    FREEZE_CONFIRMED = "freeze_confirmed"
    #: The branch freezes nothing.
    FREEZE_NOT_NEEDED = "freeze_not_needed"
    #: A lever was chosen whose pins or priority fit best.
    LEVER_CHOSEN = "lever_chosen"
    #: The branch moves no pointer.
    FLIP_NOT_NEEDED = "flip_not_needed"
    #: The pointer moved and was read back.
    FLIP_VERIFIED = "flip_verified"
    #: The cache namespace moved forward and was read back.
    CACHE_ROTATED = "cache_rotated"
    #: The branch rotates no cache.
    ROTATION_NOT_NEEDED = "rotation_not_needed"
    #: The limits are on and were read back.
    THROTTLE_ON = "throttle_on"
    #: The branch throttles nothing.
    THROTTLE_NOT_NEEDED = "throttle_not_needed"
    #: Every exit target was green without a gap for the hold.
    HOLD_COMPLETE = "hold_complete"
    #: An exit target is red: the hold starts again.
    TARGET_RED = "target_red"
    #: An exit target has no data: the hold clock is stopped.
    TARGET_UNKNOWN = "target_unknown"
    #: All exit targets are green.
    TARGETS_GREEN = "targets_green"
    #: Every temporary measure was given back or reported.
    MEASURES_RESTORED = "measures_restored"
    #: The audit passed.
    AUDIT_PASSED = "audit_passed"
    #: The audit found something a person has to look at.
    AUDIT_FAILED = "audit_failed"
    #: Receipts and what is there downstream agree, or a person has accepted what does not.
    RECEIPTS_AGREE = "receipts_agree"
    #: No listing is configured for the service: receipts are compared with nothing.
    NO_LISTING = "no_listing"
    #: The intent was reconciled by reading the target after a restart.
    RECONCILED = "reconciled"

    # Trouble
    #: The targets were not green before `first_green`.
    FIRST_GREEN_MISSED = "first_green_missed"
    #: A lever failed for good.
    LEVER_FAILED = "lever_failed"
    #: The target moved under us between reading and writing.
    TARGET_MOVED = "target_moved"
    #: A higher epoch was seen at the target: somebody newer owns the scope.
    FENCED_OFF = "fenced_off"
    #: The freeze could not be confirmed.
    FREEZE_NOT_CONFIRMED = "freeze_not_confirmed"
    #: Receipts and what is there downstream do not agree: writers stay frozen.
    RECEIPTS_DISAGREE = "receipts_disagree"
    #: Receipts could not be compared with what is there downstream.
    RECEIPTS_UNKNOWN = "receipts_unknown"
    #: No lever of the branch is left to try.
    NO_LEVER_LEFT = "no_lever_left"
    #: A temporary measure is past its deadline.
    MEASURE_OVERDUE = "measure_overdue"
    #: A value that was no longer ours was left alone.
    LEFT_ALONE = "left_alone"
    #: A person ended the incident and left measures in force.
    MEASURES_LEFT_IN_FORCE = "measures_left_in_force"
    #: A limit was all that the branch does, and it could not be put on.
    THROTTLE_FAILED = "throttle_failed"
    #: Somebody moved the pointer back during the hold.
    POINTER_DRIFTED = "pointer_drifted"
    #: The pointer that drifted was flipped again.
    REASSERTED = "reasserted"
    #: Somebody lifted the freeze during the hold.
    FREEZE_LIFTED = "freeze_lifted"
    #: A measure was left to another open incident that needs it as well.
    HANDED_OVER = "handed_over"
    #: The act made it worse: the pointer is put back, once.
    WORSE_AFTER_ACTING = "worse_after_acting"
    #: A later step of the unit failed: this one is put back.
    COMPENSATED = "compensated"
    #: The pointer stands as it did before the incident.
    FLIP_REVERTED = "flip_reverted"
    #: The scope is a later step of a unit: it is rolled back when its turn comes.
    WAITS_FOR_UNIT = "waits_for_unit"
    #: The scope is rolled back because it is a step of a unit.
    STEP_OF_UNIT = "step_of_unit"
    #: The same bad pins run here as in a region that is being rolled back (K16).
    SAME_BAD_PINS = "same_bad_pins"
    #: Regions that were rolled back are not in one state: no further one is touched.
    REGIONS_DIVERGED = "regions_diverged"
    #: A person closed or aborted it.
    OPERATOR_DECISION = "operator_decision"
