/**
 * Which of several certificates a client is shown that asks for a name (SNI): the first that has the name itself, else the first
 * whose wildcard covers it, else the first of all. `names`: those of each certificate, in lower case. A wildcard stands for
 * exactly one label, the first (RFC 6125 6.4.3). Returns the certificate's place in the list. Pure.
 */
export function certificateChooser(
  names: readonly (readonly string[])[],
): (servername: string | undefined) => number {
  const places = new Map<string, number>();
  names.forEach((each, place) => {
    for (const name of each) if (!places.has(name)) places.set(name, place);
  });
  return (servername) => {
    if (servername === undefined) return 0;
    const name = servername.toLowerCase();
    const dot = name.indexOf(".");
    // Else a client could ask for the wildcard itself, or for a name with an empty label.
    const wildcard = dot > 0 ? places.get(`*${name.slice(dot)}`) : undefined;
    return places.get(name) ?? wildcard ?? 0;
  };
}
