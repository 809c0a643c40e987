import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DURATION_PATTERN, parseDurationMs, parseQuantityBytes, QUANTITY_PATTERN } from "./shared.ts";

describe("parseDurationMs", () => {
  test.for([
    { text: "30s", want: 30_000 },
    { text: "168h", want: 604_800_000 },
    { text: "1h30m", want: 5_400_000 },
    { text: "1h30m15s500ms", want: 5_415_500 },
    { text: "500ms", want: 500 },
    { text: "5m", want: 300_000 },
    { text: "0s", want: 0 },
    { text: "007s", want: 7_000 },
    { text: "999999h9999999m999999999s999999999ms", want: 5_200_996_338_999 },
  ])("reads $text as $want ms", ({ text, want }) => {
    expect(parseDurationMs(text)).toBe(want);
  });

  test.for(["", "s", "30", "1d", "7 d", "1.5h", "-1s", "+1s", "30m1h", "1h1h", "1s ", "1S", "٣s", "1s\n", "1234567h"])(
    "refuses %j and names it",
    (text) => {
      expect(() => parseDurationMs(text)).toThrow(`${JSON.stringify(text)} is not a duration`);
    },
  );

  test("is the sum of its parts, exactly", () => {
    const part = (max: number) => fc.option(fc.integer({ min: 0, max }), { nil: undefined });
    const parts = fc.tuple(part(999_999), part(9_999_999), part(999_999_999), part(999_999_999));
    fc.assert(
      fc.property(parts, ([hours, minutes, seconds, millis]) => {
        const units = [
          [hours, "h"],
          [minutes, "m"],
          [seconds, "s"],
          [millis, "ms"],
        ] as const;
        const text = units.map(([count, unit]) => (count === undefined ? "" : `${count}${unit}`)).join("");
        fc.pre(text !== "");
        const want =
          BigInt(hours ?? 0) * 3_600_000n +
          BigInt(minutes ?? 0) * 60_000n +
          BigInt(seconds ?? 0) * 1_000n +
          BigInt(millis ?? 0);
        expect(BigInt(parseDurationMs(text))).toBe(want);
      }),
    );
  });

  test("takes what its pattern takes, and the empty text is left to minLength", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9hms]{1,12}$/)), (text) => {
        const taken = new RegExp(DURATION_PATTERN).test(text) && text !== "";
        expect(succeeds(() => parseDurationMs(text))).toBe(taken);
      }),
    );
  });
});

describe("parseQuantityBytes", () => {
  test.for([
    { text: "512", want: 512 },
    { text: "8Mi", want: 8_388_608 },
    { text: "1G", want: 1_000_000_000 },
    { text: "1Ki", want: 1_024 },
    { text: "1k", want: 1_000 },
    { text: "0", want: 0 },
    { text: "7Pi", want: 7 * 2 ** 50 },
    { text: "9007199254740991", want: Number.MAX_SAFE_INTEGER },
  ])("reads $text as $want bytes", ({ text, want }) => {
    expect(parseQuantityBytes(text)).toBe(want);
  });

  test.for(["", "Mi", "1.5Mi", "-1", "1e3", "1MB", "1K", "1mi", "1m", " 1", "1 Mi", "9007199254740992", "8Pi", "1Ei"])(
    "refuses %j and names it",
    (text) => {
      expect(() => parseQuantityBytes(text)).toThrow(`${JSON.stringify(text)} is not a size`);
    },
  );

  test("is exact for every unit", () => {
    const exponent = { "": 0n, k: 3n, M: 6n, G: 9n, T: 12n, P: 15n } as const;
    const binary = { Ki: 10n, Mi: 20n, Gi: 30n, Ti: 40n, Pi: 50n } as const;
    const unit = fc.constantFrom(
      ...Object.entries(exponent).map(([suffix, power]) => ({ suffix, factor: 10n ** power })),
      ...Object.entries(binary).map(([suffix, power]) => ({ suffix, factor: 2n ** power })),
    );
    fc.assert(
      fc.property(fc.nat({ max: 9_999_999 }), unit, (count, { suffix, factor }) => {
        const want = BigInt(count) * factor;
        fc.pre(want <= BigInt(Number.MAX_SAFE_INTEGER));
        expect(BigInt(parseQuantityBytes(`${count}${suffix}`))).toBe(want);
      }),
    );
  });

  test("takes nothing that its pattern refuses", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{0,17}[kKMGTPi.]{0,2}$/)), (text) => {
        if (succeeds(() => parseQuantityBytes(text))) expect(text).toMatch(new RegExp(QUANTITY_PATTERN));
      }),
    );
  });
});

function succeeds(call: () => unknown): boolean {
  try {
    call();
    return true;
  } catch {
    return false;
  }
}
