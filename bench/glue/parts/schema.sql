-- The ledger, and what became of each reading: one row of `transfer` or `dead_letter`, in the transaction that moves the money.

CREATE TABLE account (
  id text PRIMARY KEY,
  may_overdraw boolean NOT NULL,
  balance_cents bigint NOT NULL DEFAULT 0,
  CHECK (may_overdraw OR balance_cents >= 0)
) WITH (fillfactor = 50);

-- (meter, seq) is the reading's own name: settled once, however often it comes.
CREATE TABLE transfer (
  n bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  meter text NOT NULL,
  seq bigint NOT NULL,
  kwh numeric NOT NULL,
  cents bigint NOT NULL,
  refused text,
  settled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (meter, seq)
);

CREATE TABLE dead_letter (
  at bigint PRIMARY KEY, -- JetStream's sequence number
  meter text NOT NULL,
  payload text NOT NULL,
  why text NOT NULL
);

CREATE FUNCTION settle(ats bigint[], meters text[], payloads text[], seqs bigint[], kwhs numeric[], whys text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  tariff CONSTANT numeric := 28.75; -- cents a kWh
  r record;
  earned bigint := 0;
BEGIN
  FOR r IN
    SELECT at, meter, payload, seq, kwh, why, round(kwh * tariff)::bigint AS cents
    FROM unnest(ats, meters, payloads, seqs, kwhs, whys) AS reading(at, meter, payload, seq, kwh, why)
    WHERE why IS NOT NULL OR kwh > 0
  LOOP
    IF r.why IS NULL THEN
      INSERT INTO transfer (meter, seq, kwh, cents) VALUES (r.meter, r.seq, r.kwh, r.cents) ON CONFLICT (meter, seq) DO NOTHING;
      IF FOUND THEN
        UPDATE account SET balance_cents = balance_cents - r.cents
          WHERE id = r.meter AND (may_overdraw OR balance_cents >= r.cents);
        IF FOUND THEN
          earned := earned + r.cents;
        ELSE
          UPDATE transfer SET refused = CASE WHEN EXISTS (SELECT FROM account WHERE id = r.meter) THEN 'exceeds_credits' ELSE 'account_not_found' END
            WHERE meter = r.meter AND seq = r.seq;
        END IF;
        CONTINUE;
      END IF;
      CONTINUE WHEN EXISTS (SELECT FROM transfer WHERE meter = r.meter AND seq = r.seq AND cents = r.cents);
      r.why := 'exists_with_different_amount';
    END IF;
    INSERT INTO dead_letter (at, meter, payload, why) VALUES (r.at, r.meter, r.payload, r.why) ON CONFLICT (at) DO NOTHING;
  END LOOP;
  -- Once for all of them: the utility's row is everybody's.
  IF earned > 0 THEN
    UPDATE account SET balance_cents = balance_cents + earned WHERE id = '900';
  END IF;
END $$;
