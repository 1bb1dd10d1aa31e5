//! What readers do not show while a customer is being erased, as parts of their statements. They are parts of the
//! statements and no second look at the rows, so that a page has as many rows as were asked for.

/// Whether the call `c` is one of a customer who is being erased. The same conditions find the rows to clear (`sql.rs`).
macro_rules! call_is_being_erased {
    () => {
        "(EXISTS (SELECT 1 FROM erasures AS erasing WHERE erasing.customer_id = c.customer_id)
            OR EXISTS (SELECT 1 FROM erasure_numbers AS number WHERE number.account_id = c.account_id
                AND number.key = c.caller_key AND c.offered_ms <= number.asked_ms
                AND (c.customer_id IS NULL OR c.customer_id = number.customer_id))
            OR (c.direction = 'outbound' AND EXISTS (SELECT 1 FROM erasure_writings AS called
                WHERE called.writing = c.dialled AND c.offered_ms <= called.asked_ms
                    AND (c.account_id IS NULL OR c.account_id = called.account_id)))
            OR EXISTS (SELECT 1 FROM erased_calls AS done CROSS JOIN erasures AS erasing
                WHERE done.call_id = c.id AND erasing.customer_id = done.customer_id))"
    };
}

/// A statement: whether the call $1 was or is being erased, so that nothing about its caller is written any more.
macro_rules! call_is_erased {
    () => {
        concat!(
            "SELECT EXISTS (SELECT 1 FROM erased_calls WHERE call_id = $1)
                OR EXISTS (SELECT 1 FROM calls AS c WHERE c.id = $1 AND ",
            call_is_being_erased!(),
            ")"
        )
    };
}

/// Whether the message `m` is one of a customer who is being erased, or was taken in a call with them.
macro_rules! message_is_being_erased {
    () => {
        concat!(
            "(EXISTS (SELECT 1 FROM erasures AS erasing WHERE erasing.customer_id = m.customer_id)
            OR EXISTS (SELECT 1 FROM erasure_numbers AS number WHERE number.account_id = m.account_id
                AND number.key IN (m.caller_key, m.from_key) AND m.created_ms <= number.asked_ms
                AND (m.customer_id IS NULL OR m.customer_id = number.customer_id))
            OR (EXISTS (SELECT 1 FROM erasures) AND m.customer_id IS NULL
                AND EXISTS (SELECT 1 FROM calls AS c WHERE c.id = m.call_id AND ",
            call_is_being_erased!(),
            ")))"
        )
    };
}

/// Whether the fax `f` is one of a customer who is being erased, or came in a call with them.
macro_rules! fax_is_being_erased {
    () => {
        concat!(
            "(EXISTS (SELECT 1 FROM erasure_numbers AS number WHERE number.account_id = f.account_id
                AND number.key = f.caller_key AND f.received_ms <= number.asked_ms)
            OR (EXISTS (SELECT 1 FROM erasures)
                AND EXISTS (SELECT 1 FROM calls AS c WHERE c.id = f.call_id AND ",
            call_is_being_erased!(),
            ")))"
        )
    };
}

/// Whether the draft `d` is about a customer who is being erased, about a call with them, or of an account that is being
/// removed.
macro_rules! draft_is_being_erased {
    () => {
        concat!(
            "(EXISTS (SELECT 1 FROM erasures AS erasing WHERE erasing.customer_id = d.customer_id)
            OR (EXISTS (SELECT 1 FROM erasures)
                AND EXISTS (SELECT 1 FROM calls AS c WHERE c.id = d.call_id AND ",
            call_is_being_erased!(),
            "))
            OR EXISTS (SELECT 1 FROM account_removals AS gone
                WHERE gone.account_id IN (d.account_id, (SELECT account_id FROM calls WHERE id = d.call_id))))"
        )
    };
}

/// Whether the account of the row with this alias is still there, and not being removed.
macro_rules! account_is_kept {
    ($row:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = ",
            $row,
            ".account_id)"
        )
    };
}
