"""Words of a query, and their document frequencies by the statistics that ANALYZE keeps (ADR 0040)."""

from sqlalchemy import BigInteger, Double, Integer, String, bindparam, column, text
from sqlalchemy.dialects.postgresql import TSQUERY

# Of a longer text, half of these are its first words and half its last: one end of a traceback says what failed.
_MOST_WORDS = 64

# Share of the traces that are assumed to hold a word that the statistics do not have; less if the rarest word there is
# rarer. With a hundred different words in each trace, the statistics have the words that 0.16 % of the traces hold
# (ADR 0040).
_SHARE_OF_OTHERS = 0.0005

# In a tsquery, quotes and backslashes are doubled. After the shares of the words, the statistics' array has the least
# share. Without statistics, no word counts as common.
QUERY_WORDS = (
    text(r"""
WITH counted AS MATERIALIZED (
    SELECT greatest(reltuples, 0) AS traces, nspname, relname
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = CAST('trace_words' AS regclass)
), statistics AS MATERIALIZED (
    SELECT CAST(CAST(most_common_elems AS text) AS text[]) AS lexemes, most_common_elem_freqs AS shares
    FROM counted JOIN pg_stats ON schemaname = nspname AND tablename = relname AND attname = 'words'
), chosen AS MATERIALIZED (
    SELECT lexeme, place
    FROM (
        SELECT lexeme, row_number() OVER (ORDER BY positions[1]) AS place, count(*) OVER () AS words
        FROM unnest(words_of(:words, '', ''))
    ) AS all_words
    WHERE place <= :half OR place > words - :half
), remembered AS (
    SELECT lexeme, share FROM statistics CROSS JOIN LATERAL unnest(lexemes, shares) AS of_each (lexeme, share)
), weighed AS (
    SELECT lexeme, place,
        coalesce(share, least(:others, (SELECT shares[cardinality(lexemes) + 1] FROM statistics))) AS share
    FROM chosen LEFT JOIN remembered USING (lexeme)
)
SELECT
    CAST('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''' AS tsquery) AS word,
    CAST(share * traces AS bigint) AS frequency,
    CAST(sum(share) OVER (ORDER BY share, place) * traces AS bigint) AS cumulative_frequency
FROM weighed CROSS JOIN counted
""")
    .bindparams(
        bindparam("words", type_=String),
        bindparam("half", _MOST_WORDS // 2, type_=Integer),
        bindparam("others", _SHARE_OF_OTHERS, type_=Double),
    )
    .columns(column("word", TSQUERY), column("frequency", BigInteger), column("cumulative_frequency", BigInteger))
)
"""The query's words as tsqueries, with estimated document frequencies and their running sum from the rarest on."""
