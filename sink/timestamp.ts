const rfc3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/**
 * RFC 3339 with a zone → microseconds since 1970, or undefined where it is none. Second 60 is the first of the next
 * minute, as in PostgreSQL; digits beyond microseconds are left to `raw`.
 */
export function parseTimestamp(text: string): bigint | undefined {
  const match = rfc3339.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction, sign, zoneHour, zoneMinute] = match;

  const ms = utcMilliseconds(Number(year), Number(month), Number(day), Number(hour), Number(minute), Number(second));
  const zone = sign === undefined ? 0 : zoneMilliseconds(sign, Number(zoneHour), Number(zoneMinute));
  if (ms === undefined || zone === undefined) return undefined;

  const micros = fraction === undefined ? 0 : Number(fraction.slice(0, 6).padEnd(6, "0"));
  return BigInt(ms - zone) * 1000n + BigInt(micros);
}

const monthDays = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function utcMilliseconds(year: number, month: number, day: number, hour: number, minute: number, second: number) {
  const days = monthDays[month - 1];
  if (days === undefined || day < 1 || day > days) return undefined;
  if (month === 2 && day === 29 && !isLeap(year)) return undefined;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  // Date.UTC takes years 0 to 99 for 1900 to 1999.
  return new Date(0).setUTCFullYear(year, month - 1, day) + ((hour * 60 + minute) * 60 + second) * 1000;
}

const isLeap = (year: number) => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

function zoneMilliseconds(sign: string, hours: number, minutes: number): number | undefined {
  if (hours > 23 || minutes > 59) return undefined;
  return (sign === "-" ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
