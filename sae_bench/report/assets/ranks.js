/* Rank correlation, and an order in which metrics that agree stand beside one another. */
(() => {
  /** Ranks from 0; equal values share the mean of theirs. */
  Report.ranks = (values) => {
    const order = values.map((value, i) => [value, i]).sort((a, b) => a[0] - b[0]), rank = new Array(values.length);
    for (let i = 0; i < order.length;) {
      let j = i;
      while (j + 1 < order.length && order[j + 1][0] === order[i][0]) j += 1;
      for (let k = i; k <= j; k++) rank[order[k][1]] = (i + j) / 2;
      i = j + 1;
    }
    return rank;
  };

  Report.spearman = (a, b) => Report.pearson(Report.ranks(a), Report.ranks(b));
  Report.pearson = (x, y) => {
    const mean = (v) => v.reduce((s, u) => s + u, 0) / v.length;
    const [mx, my] = [mean(x), mean(y)];
    let xy = 0, xx = 0, yy = 0;
    x.forEach((v, i) => { xy += (v - mx) * (y[i] - my); xx += (v - mx) ** 2; yy += (y[i] - my) ** 2; });
    return xx && yy ? xy / Math.sqrt(xx * yy) : null;
  };

  /** Average linkage over 1 - correlation: the order of the leaves. Unknown correlations count as none. */
  Report.clusterOrder = (matrix) => {
    let clusters = matrix.map((_, i) => [i]);
    const near = (a, b) => {
      let sum = 0;
      for (const i of a) for (const j of b) sum += matrix[i][j] ?? 0;
      return sum / (a.length * b.length);
    };
    while (clusters.length > 1) {
      let best = [-Infinity, 0, 1];
      for (let i = 0; i < clusters.length; i++) {
        for (let j = i + 1; j < clusters.length; j++) {
          const r = near(clusters[i], clusters[j]);
          if (r > best[0]) best = [r, i, j];
        }
      }
      const [, i, j] = best, joined = joinEnds(clusters[i], clusters[j], matrix);
      clusters = clusters.filter((_, k) => k !== i && k !== j);
      clusters.push(joined);
    }
    return clusters[0] || [];
  };

  /** Two orders as one, turned so that the ends that meet agree most. */
  function joinEnds(a, b, matrix) {
    const turned = (order) => [order, [...order].reverse()];
    const pairs = turned(a).flatMap((x) => turned(b).map((y) => [matrix[x.at(-1)][y[0]] ?? 0, x.concat(y)]));
    return pairs.reduce((best, pair) => (pair[0] > best[0] ? pair : best))[1];
  }
})();
