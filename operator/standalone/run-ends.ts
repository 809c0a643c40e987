/** Runs every end in order, also after one that failed: nothing stays locked or open for it. Then throws the first failure. */
export async function runEnds(ends: readonly (() => Promise<unknown>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of ends) {
    try {
      await end();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
