/**
 * The first instant that is still stored: the start of the UTC month that lies `months` before now's. The operator drops
 * a month that ends no later (docs/retention.md).
 */
export function expiryBoundaryMs(nowMs: number, months: number): bigint {
  const now = new Date(nowMs);
  return BigInt(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months, 1));
}
