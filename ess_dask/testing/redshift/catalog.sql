-- What Redshift has and PostgreSQL has not. Run once, as the owner, in a new database.
-- Names that clients know are in pg_catalog, so that no search_path can hide them.
set allow_system_table_mods = on;
create schema redshift;
grant usage on schema redshift to public;

-- Types. jsonb and bytea are behind SUPER and VARBYTE; a length of VARBYTE is a check of its column.
create domain pg_catalog.super as jsonb;
create domain pg_catalog.varbyte as bytea;

-- Loads: written past the client's transaction, so that a rollback leaves them.
create table redshift.load_errors (
  query bigint, session int, userid int, tbl int, starttime timestamp, filename text, line_number bigint,
  colname text, type text, col_length text, "position" int, raw_line text, raw_field_value text,
  err_code int, err_reason text);
create table redshift.load_files (
  query bigint, session int, userid int, filename text, lines bigint, bytes bigint, errors bigint,
  curtime timestamp, file_format text);
create table redshift.loads (
  query bigint, session int, userid int, table_name text, data_source text, file_format text,
  status text, loaded_rows bigint, loaded_bytes bigint, files int, errors bigint,
  start_time timestamp, end_time timestamp);

create view pg_catalog.stl_load_errors as
  select userid, 0 slice, tbl, starttime, session, query, filename::char(256), line_number,
    colname::char(127), type::char(10), col_length::char(10), "position", raw_line::char(1024),
    raw_field_value::char(1024), err_code, err_reason::char(100), 0 is_partial, 0::bigint start_offset
  from redshift.load_errors;
create view pg_catalog.sys_load_error_detail as
  select userid user_id, query query_id, 0::bigint transaction_id, session session_id,
    current_database()::char(64) database_name, tbl table_id, starttime start_time,
    filename::char(256) file_name, line_number, colname::char(127) column_name,
    type::char(10) column_type, col_length::char(10) column_length, "position",
    err_code error_code, err_reason::char(512) error_message
  from redshift.load_errors;
create view pg_catalog.stl_load_commits as
  select userid, query, 0 slice, filename::char(256), 0::bigint byte_offset, lines lines_scanned, errors::int, curtime,
    1 status, file_format::char(16), 0 is_partial, 0::bigint start_offset
  from redshift.load_files;
create view pg_catalog.sys_load_history as
  select userid user_id, query query_id, 0::bigint transaction_id, session session_id,
    current_database()::text database_name, status, table_name, start_time, end_time,
    (extract(epoch from end_time - start_time) * 1000000)::bigint duration, data_source, file_format,
    loaded_rows, loaded_bytes, files source_file_count, loaded_bytes source_file_bytes,
    files file_count_scanned, loaded_bytes file_bytes_scanned, errors error_count
  from redshift.loads;
create view pg_catalog.sys_load_detail as
  select userid user_id, query query_id, filename file_name, bytes bytes_scanned, lines lines_scanned,
    curtime record_time, 1 splits_scanned, errors error_count, 0 is_partial, 0::bigint start_offset
  from redshift.load_files;

-- The stand-in leaves a file for each session, which is read past snapshots and rollbacks.
create function redshift.last_copy(part int) returns bigint language sql volatile security definer
  set search_path = pg_catalog as $$
  select coalesce(
    split_part(pg_read_file('../sessions/' || pg_backend_pid(), 0, 100, true), ' ', part)::bigint, -1)
$$;
create function pg_catalog.pg_last_copy_id() returns bigint language sql volatile
  as 'select redshift.last_copy(1)';
create function pg_catalog.pg_last_copy_count() returns bigint language sql volatile
  as 'select redshift.last_copy(2)';

-- The rest of the catalog.
create view pg_catalog.stv_slices as
  select slice / 2 node, slice, slice % 2 localslice, 'D'::char(1) type from generate_series(0, 3) slice;
create view pg_catalog.svv_tables as
  select table_catalog::varchar(128), table_schema::varchar(128), table_name::varchar(128),
    table_type::varchar(128), null::varchar(256) remarks
  from information_schema.tables;
create view pg_catalog.svv_columns as
  select current_database()::varchar(128) table_catalog, n.nspname::varchar(128) table_schema,
    t.relname::varchar(128) table_name, a.attname::varchar(128) column_name,
    a.attnum::int ordinal_position, pg_get_expr(d.adbin, d.adrelid)::varchar(4000) column_default,
    case when a.attnotnull then 'NO' else 'YES' end::varchar(3) is_nullable,
    case y.typname when 'super' then 'super' when 'varbyte' then 'binary varying'
      else format_type(a.atttypid, null) end::varchar(128) data_type,
    case when a.atttypid in (1042, 1043) and a.atttypmod > 4 then a.atttypmod - 4
      when y.typname = 'varbyte' then (
        select substring(k.conname from '^varbyte[(]([0-9]+)[)]')::int from pg_constraint k
        where k.conrelid = a.attrelid and k.conkey = array[a.attnum]
          and k.conname like 'varbyte(%') end character_maximum_length,
    case a.atttypid when 21 then 16 when 23 then 32 when 20 then 64 when 700 then 24 when 701 then 53
      when 1700 then ((a.atttypmod - 4) >> 16) & 65535 end numeric_precision,
    case when a.atttypid in (21, 23, 20, 700, 701) then 2
      when a.atttypid = 1700 then 10 end numeric_precision_radix,
    case when a.atttypid in (21, 23, 20) then 0
      when a.atttypid = 1700 then (a.atttypmod - 4) & 2047 end numeric_scale,
    case when a.atttypid = 1082 then 0
      when a.atttypid in (1083, 1114, 1184) then 6 end datetime_precision,
    null::varchar(128) interval_type, null::varchar(128) interval_precision,
    null::varchar(128) character_set_catalog, null::varchar(128) character_set_schema,
    null::varchar(128) character_set_name, null::varchar(128) collation_catalog,
    null::varchar(128) collation_schema, null::varchar(128) collation_name,
    case when y.typtype = 'd' then y.typname end::varchar(128) domain_name,
    null::varchar(256) remarks
  from pg_class t join pg_namespace n on n.oid = t.relnamespace
  join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  join pg_type y on y.oid = a.atttypid
  left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
  where t.relkind in ('r', 'v', 'm', 'p', 'f') and (pg_has_role(t.relowner, 'USAGE')
    or has_table_privilege(t.oid, 'SELECT, INSERT, UPDATE, DELETE, REFERENCES'));
create view pg_catalog.pg_table_def as
  select n.nspname schemaname, t.relname tablename, a.attname "column",
    case when k.conname is null then format_type(a.atttypid, a.atttypmod)
      else 'binary varying(' || substring(k.conname from '[(]([0-9]+)[)]') || ')' end "type",
    'none'::char(32) encoding, false distkey, 0 sortkey, a.attnotnull "notnull"
  from pg_class t join pg_namespace n on n.oid = t.relnamespace
  join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  left join pg_constraint k on k.conrelid = t.oid and k.conkey = array[a.attnum]
    and k.conname like 'varbyte(%'
  where t.relkind = 'r' and n.nspname = any (current_schemas(true))
    and n.nspname not in ('pg_catalog', 'information_schema')
  order by 1, 2, a.attnum;

-- What SQLAlchemy's dialect reads; the stand-in sends it here for columns that only Redshift has.
create view redshift.pg_attribute as
  select a.*, 0 attencodingtype, false attisdistkey, 0 attsortkeyord from pg_catalog.pg_attribute a;
create view redshift.pg_attrdef as
  select d.*, pg_get_expr(d.adbin, d.adrelid) adsrc from pg_catalog.pg_attrdef d;
-- In Redshift a condition may use the names that the same SELECT gives: schema and table_name.
create view redshift.pg_class as
  select c.*, 0 reldiststyle, c.relnamespace::regnamespace::text "schema", c.relname::text table_name
  from pg_catalog.pg_class c;
create function pg_catalog.format_encoding(kind int) returns text language sql immutable
  as 'select ''none''::text';
create function pg_catalog.pg_get_late_binding_view_cols() returns setof record language sql stable
  as 'select null::name, null::name, null::name, null::varchar, null::int where false';
create view pg_catalog.svv_external_schemas as
  select null::oid esoid, null::int eskind, null::text schemaname, null::int esowner,
    null::text databasename, null::text esoptions where false;
create view pg_catalog.svv_external_tables as
  select null::text schemaname, null::text tablename, null::text "location" where false;
create view pg_catalog.svv_external_columns as
  select null::text schemaname, null::text tablename, null::text columnname, null::text external_type,
    null::int columnnum, null::int part_key, null::text is_nullable where false;

-- Functions.
create or replace function pg_catalog.version() returns text language sql stable as
  'select ''PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.0 (stand-in)''::text';
create function pg_catalog.getdate() returns timestamp language sql stable
  as 'select date_trunc(''second'', now())::timestamp';
create function pg_catalog.sysdate() returns timestamp language sql stable as 'select now()::timestamp';
create function pg_catalog.len(value text) returns int language sql immutable as 'select length($1)';
create function redshift.strtol(digits text, base int) returns bigint language plpgsql immutable strict as $$
declare
  result bigint := 0;
  digit int;
begin
  if base not between 2 and 36 then
    raise 'base % is not between 2 and 36', base;
  end if;
  for i in 1 .. length(digits) loop
    digit := strpos('0123456789abcdefghijklmnopqrstuvwxyz', lower(substr(digits, i, 1))) - 1;
    if digit not between 0 and base - 1 then
      raise 'The input % is not valid to be converted to base %', digits, base;
    end if;
    result := result * base + digit;
  end loop;
  return result;
end $$;
create function pg_catalog.strtol(digits text, base int) returns bigint language sql immutable as
  'select case when $2 = 16 and length($1) < 16 then (''x'' || lpad($1, 16, ''0''))::bit(64)::bigint
    else redshift.strtol($1, $2) end';
create function pg_catalog.json_parse(value text) returns super language sql immutable strict
  as 'select $1::jsonb';
-- PostgreSQL has syntax of its own under this name.
create function redshift.json_serialize(value jsonb) returns text language sql immutable strict
  as 'select $1::text';
create function pg_catalog.to_hex(value bytea) returns text language plpgsql immutable strict as $$
begin
  if octet_length(value) > 32767 then
    raise 'value too long for type character varying(65535)' using errcode = '22001';
  end if;
  return encode(value, 'hex');
end $$;
create function pg_catalog.from_hex(digits text) returns varbyte language sql immutable strict
  as 'select decode($1, ''hex'')';
create function pg_catalog.to_varbyte(value text, format text) returns varbyte language sql immutable strict
  as 'select case lower($2) when ''utf8'' then convert_to($1, ''UTF8'') when ''utf-8'' then convert_to($1, ''UTF8'')
    else decode($1, $2) end';
create function pg_catalog.from_varbyte(value bytea, format text) returns text language sql immutable strict
  as 'select case lower($2) when ''utf8'' then convert_from($1, ''UTF8'') when ''utf-8'' then convert_from($1, ''UTF8'')
    else encode($1, $2) end';
create function pg_catalog.dateadd(unit text, amount bigint, moment timestamp) returns timestamp
  language sql immutable strict as
  'select case when lower($1) in (''quarter'', ''quarters'', ''qtr'') then $3 + $2 * interval ''3 months''
    else $3 + $2 * (''1 '' || $1)::interval end';
create function pg_catalog.datediff(unit text, before timestamp, later timestamp) returns bigint
  language plpgsql immutable strict as $$
begin
  return case rtrim(lower(unit), 's')
    when 'year' then extract(year from later) - extract(year from before)
    when 'month' then (extract(year from later) - extract(year from before)) * 12
      + extract(month from later) - extract(month from before)
    when 'day' then later::date - before::date
    when 'hour' then extract(epoch from date_trunc('hour', later) - date_trunc('hour', before)) / 3600
    when 'minute' then extract(epoch from date_trunc('minute', later) - date_trunc('minute', before)) / 60
    when 'second' then extract(epoch from date_trunc('second', later) - date_trunc('second', before))
    else null end;
end $$;

-- After DDL: lengths count bytes and have Redshift's defaults; keys are there and not enforced.
create function redshift.set_lengths(rel oid, computed boolean) returns void language plpgsql
  set search_path = pg_catalog as $$
declare
  changes text;
begin
  select string_agg(format('alter column %I type %s', attname, case
      when atttypid = 'numeric'::regtype then 'numeric(18,0)'
      when computed then 'varchar(65535)' else 'varchar(256)' end), ', ' order by attnum)
    into changes from pg_attribute
    where attrelid = rel and attnum > 0 and not attisdropped and atttypmod = -1
      and (atttypid in ('varchar'::regtype, 'text'::regtype)
        or atttypid = 'numeric'::regtype and not computed);
  if changes is not null then
    execute format('alter table %s %s', rel::regclass, changes);
  end if;
end $$;
create function redshift.count_bytes(rel oid) returns void language plpgsql
  set search_path = pg_catalog as $$
declare
  changes text;
begin
  with wanted as (
    select attnum, attname, atttypmod - 4 bytes, format_type(atttypid, atttypmod) || ' #' || attnum conname
    from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped and atttypmod > 4
      and atttypid in ('varchar'::regtype, 'bpchar'::regtype)
  ), present as (
    select conname::text, conkey[1] attnum from pg_constraint
    where conrelid = rel and contype = 'c' and conname ~ '^character( varying)?[(][0-9]+[)] #[0-9]+$'
  ), change as (
    select format('drop constraint %I', p.conname) what, 1 step from present p
      where not exists (select from wanted w where w.attnum = p.attnum and w.conname = p.conname)
    union all
    select format('add constraint %I check (octet_length(%I) <= %s)', w.conname, w.attname, w.bytes), 2
      from wanted w
      where not exists (select from present p where w.attnum = p.attnum and w.conname = p.conname)
  )
  select string_agg(what, ', ' order by step) into changes from change;
  if changes is not null then
    execute format('alter table %s %s', rel::regclass, changes);
  end if;
end $$;
create function redshift.after_ddl() returns event_trigger language plpgsql security definer
  set search_path = pg_catalog as $$
declare
  rel oid;
begin
  for rel in
    select distinct c.oid from pg_event_trigger_ddl_commands() d join pg_class c on c.oid = d.objid
    where d.classid = 'pg_class'::regclass and c.relkind = 'r'
  loop
    perform redshift.set_lengths(rel, tg_tag in ('CREATE TABLE AS', 'SELECT INTO'));
    perform redshift.count_bytes(rel);
    -- The index stays as the key's description: never valid, never written, never unique.
    update pg_index set indisunique = false, indisready = false, indisvalid = false
      where indrelid = rel and indisunique;
  end loop;
end $$;
-- Why ALTER COLUMN TYPE VARCHAR is refused for a column; null if it is not.
create function redshift.why_not_altered(name text, col text) returns text language sql stable as $$
  select case
    when a.atttypid not in ('varchar'::regtype, 'text'::regtype)
      then format('column "%s" is not of type VARCHAR: its type cannot be altered', col)
    when a.atthasdef then format('cannot alter column "%s": it has a default', col)
    when exists (select from pg_index i where i.indrelid = a.attrelid and a.attnum = any (i.indkey))
      then format('cannot alter column "%s": it is in a key', col)
    end
  from pg_attribute a where a.attrelid = to_regclass(name) and a.attname = col and not a.attisdropped
$$;
grant select on all tables in schema redshift to public;
grant select on stl_load_errors, sys_load_error_detail, stl_load_commits, sys_load_history,
  sys_load_detail, stv_slices, svv_tables, svv_columns, pg_table_def, svv_external_schemas,
  svv_external_tables, svv_external_columns to public;
create event trigger redshift_after_ddl on ddl_command_end
  when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
  execute function redshift.after_ddl();
