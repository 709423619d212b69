//! The keys of the default store sort as what they stand for.

use parlor::testkit::check_key_order;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn keys_sort_as_what_they_stand_for_and_none_begins_with_another(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        check_key_order(&bytes);
    }

    /// Few values, so that keys agree in most of their parts.
    #[test]
    fn so_do_keys_that_are_nearly_alike(bytes in proptest::collection::vec(0..3_u8, 0..80)) {
        check_key_order(&bytes);
    }
}
