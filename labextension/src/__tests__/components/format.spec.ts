import { formatAgo, formatBytes, formatMetric, formatSeconds, shortId } from '../../components/format';

describe('format', () => {
  it.each([
    [0.91234567, '0.9123'],
    [3, '3'],
    [1234567.891, '1.235e+6'],
    [0.00001234, '1.234e-5'],
    [null, 'NaN'],
    ['Infinity', 'Infinity']
  ])('writes the metric %p as %s', (value, text) => expect(formatMetric(value)).toBe(text));

  it.each([
    [0.84, '0.8 s'],
    [59.4, '59 s'],
    [84.2, '1 min 24 s'],
    [119.7, '2 min 0 s'],
    [3700, '1 h 1 min'],
    [null, '']
  ])('writes %p seconds as %s', (value, text) => expect(formatSeconds(value)).toBe(text));

  it.each([
    [900, '900 B'],
    [4_512_345, '4.51 MB']
  ])('writes %d bytes as %s', (value, text) => expect(formatBytes(value)).toBe(text));

  it.each([
    [5, 'just now'],
    [180, '3 min ago'],
    [7200, '2 h ago'],
    [259200, '3 d ago'],
    [-30, 'just now']
  ])('writes a moment %d seconds ago as %s', (seconds, text) => {
    const now = Date.parse('2026-01-31T12:00:00Z');
    expect(formatAgo(new Date(now - seconds * 1000).toISOString(), now)).toBe(text);
  });

  it('shortens digests and hexadecimal ids, and leaves short ones alone', () => {
    expect(shortId('8c1fe5d9a4b34f0e')).toBe('8c1fe5d9');
    expect(shortId('xxh3:99aabbccddeeff00')).toBe('xxh3:99aabbcc');
    expect(shortId('baseline')).toBe('baseline');
  });
});
