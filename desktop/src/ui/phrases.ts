// Whether lines of this text end where phrases do: browsers look for phrases at each layout, and a text of 10,000
// characters would hold the page up for seconds.

const PHRASES_CHARS_MAX = 300;

export const hasPhrases = (text: string): boolean => text.length <= PHRASES_CHARS_MAX;
