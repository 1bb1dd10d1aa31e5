-- With which PIN somebody of an account records its guidance by telephone: src/contract/guidance_pin.rs. entry is what is entered
-- for the account.
CREATE TABLE guidance_pins (
    account_id UUID PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    entry      TEXT NOT NULL,
    pin_hash   TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    changed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX guidance_pins_by_entry ON guidance_pins (entry);

ALTER TABLE sounds ADD COLUMN origin TEXT NOT NULL DEFAULT 'upload' CHECK (origin IN ('upload', 'phone'));
