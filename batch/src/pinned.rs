//! A [`Pinned`] table as DataFusion sees it: the files of one version, read as Parquet.
//!
//! Assumes that files are never changed and that their Delta statistics are right. Promises the table's columns in the table's order
//! (one that an older file lacks is null), and that files which cannot hold a wanted row are not opened: by their day exactly, by
//! their statistics as far as those say. A count of all rows reads nothing.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Date32Array, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue, Statistics, plan_datafusion_err};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::{TableSchema, TableSchemaBuilder};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use tributary_core::table::{DATE_COLUMN, Pinned, TableFile};

use self::stats::{Bounds, FileStats};
use crate::source::location;

mod stats;

/// See the file.
#[derive(Debug)]
pub(crate) struct PinnedTable {
    table: Arc<Pinned>,
    store: ObjectStoreUrl,
    /// The table's columns, all nullable: a file may lack any.
    schema: SchemaRef,
    /// The same as the scan has them: what files hold first, then the day.
    scanned: TableSchema,
    /// Column of `schema` to column of `scanned`.
    places: Vec<usize>,
}

impl PinnedTable {
    /// `url` is where the session finds the table's store.
    pub(crate) fn new(table: Arc<Pinned>, url: &str) -> Result<Self> {
        let fields: Vec<Field> =
            table.schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
        let is_day = |f: &Field| table.by_date && f.name() == DATE_COLUMN;
        let (day, file): (Vec<Field>, Vec<Field>) = fields.iter().cloned().partition(is_day);
        let scanned = TableSchemaBuilder::new(Arc::new(Schema::new(file)))
            .with_table_partition_cols(day.into_iter().map(Arc::new).collect::<Vec<_>>())
            .build();
        let places = fields.iter().map(|f| scanned.table_schema().index_of(f.name())).collect::<Result<_, _>>()?;
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { table, store: ObjectStoreUrl::parse(url)?, schema, scanned, places })
    }

    /// Whether a filter is about the day alone, and so decided by the list of files.
    fn decides_by_day(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        self.table.by_date && !columns.is_empty() && columns.iter().all(|c| c.name == DATE_COLUMN) && !filter.is_volatile()
    }

    /// The files that may hold rows for which all filters are true.
    fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<(&TableFile, FileStats)>> {
        let mut files: Vec<&TableFile> = self.table.files.iter().collect();
        files.sort_by(|a, b| (a.date, &a.path).cmp(&(b.date, &b.path)));
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let (by_day, others): (Vec<Expr>, Vec<Expr>) = filters.iter().cloned().partition(|f| self.decides_by_day(f));
        if let Some(filter) = conjunction(by_day) {
            let days: ArrayRef = Arc::new(Date32Array::from_iter(files.iter().map(|f| f.date)));
            // Only the day is looked at; the other columns are there so that places agree.
            let columns = self.schema.fields().iter().map(|f| match f.name().as_str() {
                DATE_COLUMN => Arc::clone(&days),
                _ => arrow_array::new_null_array(f.data_type(), files.len()),
            });
            let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns.collect())?;
            let wanted = state.create_physical_expr(filter, &schema)?.evaluate(&rows)?.into_array(files.len())?;
            let wanted = wanted.as_boolean();
            files = files.into_iter().zip(wanted).filter(|(_, wanted)| *wanted == Some(true)).map(|(f, _)| f).collect();
        }
        let mut files: Vec<(&TableFile, FileStats)> = files.into_iter().map(|f| (f, FileStats::read(f))).collect();
        if let Some(filter) = conjunction(others)
            && let Ok(filter) = state.create_physical_expr(filter, &schema)
            && let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).try_build(filter)
        {
            let bounds = Bounds { schema: &self.schema, files: &files };
            if let Ok(keep) = predicate.prune(&bounds) {
                files = files.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(f, _)| f).collect();
            }
        }
        Ok(files)
    }

    fn scanned_file(&self, file: &TableFile, stats: &FileStats) -> Result<PartitionedFile> {
        let name = &self.table.name;
        let location = location(&file.path);
        let last_modified = chrono::DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default();
        let meta = ObjectMeta { location, last_modified, size: file.size, e_tag: None, version: None };
        let mut scanned = PartitionedFile::new_from_meta(meta);
        if self.table.by_date {
            let day = file.date.ok_or_else(|| plan_datafusion_err!("{name}: file {} has no {DATE_COLUMN}", file.path))?;
            scanned = scanned.with_partition_values(vec![ScalarValue::Date32(Some(day))]);
        }
        Ok(scanned.with_statistics(Arc::new(stats.for_plans(self.scanned.file_schema()))))
    }
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let how = filters.iter().map(|filter| {
            if has_subquery(filter) {
                TableProviderFilterPushDown::Unsupported
            } else if self.decides_by_day(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        });
        Ok(how.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.places.len()).collect());
        let files = self.files(state, filters)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&projection)?))));
        }
        let files = files.iter().map(|(file, stats)| self.scanned_file(file, stats)).collect::<Result<Vec<_>>>()?;
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let schema = self.scanned.table_schema();
        let together =
            |group: &FileGroup| Statistics::try_merge_iter(group.iter().filter_map(|f| f.statistics.as_deref()), schema);
        let groups = groups
            .into_iter()
            .map(|group| together(&group).map(|statistics| group.with_statistics(Arc::new(statistics))))
            .collect::<Result<Vec<_>>>()?;
        let statistics = Statistics::try_merge_iter(groups.iter().filter_map(|g| g.file_statistics(None)), schema)?;
        let options = TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let source = ParquetSource::new(self.scanned.clone()).with_table_parquet_options(options);
        let places = projection.iter().filter_map(|p| self.places.get(*p).copied()).collect();
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(places))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn has_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let is = |e: &Expr| matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_));
    filter.exists(|e| Ok(is(e))).unwrap_or(true)
}
