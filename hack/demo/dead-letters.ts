/** `name:value,name:value<TAB>…`, as Kafka's console consumer prints a record's headers. */
export function headersOf(line: string): Record<string, string> {
  const pairs = (line.split("\t")[0] ?? "").split(/,(?=[a-z-]+:)/);
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf(":")), pair.slice(pair.indexOf(":") + 1)]));
}
