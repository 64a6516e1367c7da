/* Trends: a curve fitted by least squares, with the 95 % band of its mean. */
(() => {
  /** Solve A x = b for several b at once, by Gauss-Jordan with pivots; null if A is singular. */
  function inverse(A) {
    const n = A.length, rows = A.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
    for (let i = 0; i < n; i++) {
      const pivot = rows.reduce((best, row, r) => (r >= i && Math.abs(row[i]) > Math.abs(rows[best][i]) ? r : best), i);
      if (Math.abs(rows[pivot][i]) < 1e-12) return null;
      [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
      const scale = rows[i][i];
      rows[i] = rows[i].map((v) => v / scale);
      rows.forEach((row, r) => { if (r !== i) rows[r] = row.map((v, j) => v - row[i] * rows[i][j]); });
    }
    return rows.map((row) => row.slice(n));
  }

  /** The 97.5 % quantile of Student's t, by the expansion of Fisher and Cornish (to 0.3 % from three degrees on). */
  function t975(df) {
    const z = 1.959964, terms = [(z ** 3 + z) / 4, (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96, (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
      (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160];
    return terms.reduce((sum, term, i) => sum + term / df ** (i + 1), z);
  }

  const FEWEST = 5, MANY = 8;
  /** A line, from eight points on a parabola, through points [u, y]: u -> { y, half }; null with too few. */
  Report.trend = (points) => {
    const distinct = new Set(points.map(([u]) => u)).size, degree = points.length >= MANY && distinct > 3 ? 2 : 1;
    if (points.length < FEWEST || distinct < degree + 2) return null;
    const middle = points.reduce((sum, [u]) => sum + u, 0) / points.length;
    const basis = (u) => Array.from({ length: degree + 1 }, (_, i) => (u - middle) ** i);
    const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
    const X = points.map(([u]) => basis(u)), columns = X[0].map((_, i) => X.map((row) => row[i]));
    const M = inverse(columns.map((a) => columns.map((b) => dot(a, b))));
    if (!M) return null;
    const moments = columns.map((column) => dot(column, points.map(([, y]) => y))), beta = M.map((row) => dot(row, moments));
    const df = points.length - degree - 1, variance = points.reduce((sum, [, y], i) => sum + (y - dot(X[i], beta)) ** 2, 0) / df;
    return (u) => {
      const x = basis(u), spread = Math.sqrt(Math.max(variance * dot(x, M.map((row) => dot(row, x))), 0));
      return { y: dot(x, beta), half: t975(df) * spread };
    };
  };
})();
