"""The words of a query, and how many traces hold them: what ANALYZE counts is the memory of which words are common."""

from sqlalchemy import BigInteger, Double, Integer, String, bindparam, column, text
from sqlalchemy.dialects.postgresql import TSQUERY

# Of a longer text half are its first words and half its last: one of the two ends of a traceback says what happened.
_MOST_WORDS = 64

# What share of the traces is taken to hold a word that the statistics do not remember, unless the rarest that they do
# is rarer. With a hundred different words a trace they remember those that 0.16 % hold (ADR 0040).
_OTHERS = 0.0005

# In the spelling of a query, quotes and backslashes are doubled. Behind the shares of words, statistics have the least.
# Without statistics nothing is known to be common.
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
    CAST(share * traces AS bigint) AS holders,
    CAST(sum(share) OVER (ORDER BY share, place) * traces AS bigint) AS holders_so_far
FROM weighed CROSS JOIN counted
""")
    .bindparams(
        bindparam("words", type_=String),
        bindparam("half", _MOST_WORDS // 2, type_=Integer),
        bindparam("others", _OTHERS, type_=Double),
    )
    .columns(column("word", TSQUERY), column("holders", BigInteger), column("holders_so_far", BigInteger))
)
"""The words asked for, as queries, and about how many traces hold each, and each or a rarer one, added up."""
