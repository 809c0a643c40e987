const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;
const SECONDS_END = 19;
const ZONE_LENGTH = "+00:00".length;

/**
 * RFC 3339 with a zone → microseconds since 1970, or undefined where it is none. Second 60 is the first of the next
 * minute, as in PostgreSQL; digits beyond microseconds are left to `raw`.
 */
export function parseTimestamp(text: string): bigint | undefined {
  // Tested and then read by place: the groups of a match are garbage that each event would make.
  if (!rfc3339.test(text)) return undefined;
  const ms = utcMilliseconds(
    digits(text, 0, 4),
    digits(text, 5, 2),
    digits(text, 8, 2),
    digits(text, 11, 2),
    digits(text, 14, 2),
    digits(text, 17, 2),
  );
  const isUtc = (text.charCodeAt(text.length - 1) | 0x20) === LOWER_Z;
  const zoneAt = text.length - (isUtc ? 1 : ZONE_LENGTH);
  const zone = isUtc ? 0 : zoneMilliseconds(text, zoneAt);
  if (ms === undefined || zone === undefined) return undefined;
  return BigInt(ms - zone) * 1000n + BigInt(fractionMicros(text, zoneAt));
}

const LOWER_Z = 0x7a;
const ZERO = 0x30;

function digits(text: string, start: number, count: number): number {
  let value = 0;
  for (let at = start; at < start + count; at += 1) value = value * 10 + text.charCodeAt(at) - ZERO;
  return value;
}

function fractionMicros(text: string, end: number): number {
  const start = SECONDS_END + 1;
  if (end <= start) return 0;
  const count = Math.min(6, end - start);
  return digits(text, start, count) * 10 ** (6 - count);
}

const monthDays = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function utcMilliseconds(year: number, month: number, day: number, hour: number, minute: number, second: number) {
  const days = monthDays[month - 1];
  if (days === undefined || day < 1 || day > days) return undefined;
  if (month === 2 && day === 29 && !isLeap(year)) return undefined;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  // Date.UTC takes years 0 to 99 for 1900 to 1999.
  const midnight = year > 99 ? Date.UTC(year, month - 1, day) : new Date(0).setUTCFullYear(year, month - 1, day);
  return midnight + ((hour * 60 + minute) * 60 + second) * 1000;
}

const isLeap = (year: number) => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

function zoneMilliseconds(text: string, at: number): number | undefined {
  const [hours, minutes] = [digits(text, at + 1, 2), digits(text, at + 4, 2)];
  if (hours > 23 || minutes > 59) return undefined;
  return (text[at] === "-" ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
