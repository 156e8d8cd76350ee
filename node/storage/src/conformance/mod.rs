//! What every database behind the traits must do: one function a promise, to be run against each backend.
//!
//! A backend makes a fresh, empty store for each function and calls it; [`crate::conformance_suite!`] writes one test for
//! each. Only the public traits are used here, so a promise can't lean on how one database keeps its rows.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a broken promise is a failed test"
)]

mod fixture;
pub mod inquiries;
pub mod log;
pub mod lookups;
pub mod receipts;
pub mod register;
pub mod retention;
pub mod sharing;
pub mod witness;

pub use fixture::{
    CHIEF, CLERK, Fixture, Seeded, addressee, dose, dose_row, number, person, root, row, rows, seal,
};

/// Writes one test a promise. `$fresh` is an async function that gives a [`Fixture`] with an empty store in it, and
/// whatever must live as long as the test.
#[macro_export]
macro_rules! conformance_suite {
    ($fresh:path) => {
        $crate::conformance_suite!($fresh, log:
            a_new_log_is_empty,
            a_batch_stands_whole_and_in_order,
            a_swap_that_is_lost_writes_nothing,
            a_batch_goes_onto_what_others_appended_meanwhile,
            a_batch_too_far_behind_loses_the_swap,
            a_batch_of_an_earlier_epoch_is_fenced,
            a_seal_that_refuses_leaves_no_trace,
            rows_that_do_not_fit_the_batch_are_refused,
            a_refused_change_gets_no_entry_and_spares_the_others,
            a_batch_in_which_every_change_is_refused_is_not_sealed,
            heads_of_subjects_follow_their_entries,
            tiles_are_kept,
            the_canary_needs_no_entry,
        );
        $crate::conformance_suite!($fresh, register:
            what_was_entered_is_not_exchanged_until_another_person_approves,
            whoever_entered_an_import_cannot_approve_it,
            an_import_is_approved_once_and_takes_nothing_after_that,
            running_a_file_again_changes_nothing,
            a_correction_shows_when_it_is_approved,
            protection_counts_from_the_moment_it_is_entered,
            an_addressee_number_belongs_to_one_person,
            a_row_repeated_in_a_chunk_is_refused,
            what_was_prepared_too_early_conflicts,
            a_dose_finds_its_person_by_addressee_or_voucher,
            adopted_doses_keep_their_origin,
            imports_count_what_they_brought,
            a_persons_rows_name_the_entries_they_came_with,
            a_chunk_of_500_rows_is_entered_whole_and_no_larger_one,
            any_text_comes_back_as_it_was_entered,
        );
        $crate::conformance_suite!($fresh, lookups:
            an_unknown_number_is_unknown,
            many_lookups_at_once_each_get_their_own_person,
            a_person_entered_only_is_found_without_an_approved_state,
            whoever_is_asked_for_the_number_of_statements_is_the_same,
        );
        $crate::conformance_suite!($fresh, inquiries:
            an_inquiry_is_replaced_only_by_who_saw_its_last_version,
            an_expired_inquiry_is_gone,
            what_expires_takes_nothing_else_along,
            the_largest_times_and_sizes_come_back,
            a_checkpoint_of_a_peer_never_goes_back,
        );
        $crate::conformance_suite!($fresh, receipts:
            receipts_come_back_by_place_in_the_providers_log,
            a_second_receipt_of_one_place_conflicts,
            a_change_whose_receipt_conflicts_leaves_nothing,
            a_lost_entry_is_entered_again_once,
            of_two_that_enter_one_lost_entry_in_a_batch_one_is_refused,
            a_members_answer_is_remembered_once,
        );
        $crate::conformance_suite!($fresh, witness:
            a_witnesss_record_moves_only_from_what_is_there,
            a_witnesss_records_are_one_a_log,
            of_two_swaps_at_once_one_wins,
            a_cosigned_checkpoint_never_goes_back,
        );
        $crate::conformance_suite!($fresh, retention:
            an_erasure_takes_whoever_is_due_and_nobody_else,
            whoever_is_on_hold_stays_and_a_hold_can_come_too_late,
            holds_of_different_references_stand_side_by_side,
            an_erasure_is_approved_once_and_by_another_officer,
            a_step_that_is_run_again_does_nothing_more,
            what_was_prepared_before_a_person_was_taken_conflicts,
            whoever_came_back_before_their_turn_stays,
            a_blanked_opening_leaves_its_leaf_and_nobodys_history,
            an_erasure_that_was_put_back_is_settled_once,
            whoever_has_a_key_here_is_told_but_the_claimed,
        );
        $crate::conformance_suite!($fresh, sharing:
            two_handles_append_to_one_order,
            the_entries_of_a_subject_stay_a_chain_across_handles,
            what_one_handle_approves_the_other_shows_at_once,
            protection_entered_through_one_handle_counts_for_the_other,
            what_one_handle_prepared_conflicts_with_what_the_other_committed,
            an_import_approved_through_both_handles_is_approved_once,
            an_inquiry_is_finished_through_one_of_two_handles,
        );
    };
    ($fresh:path, $module:ident: $($promise:ident,)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $promise() {
                    let (fixture, _keep) = $fresh().await;
                    $crate::conformance::$module::$promise(&fixture).await;
                }
            )+
        }
    };
}
