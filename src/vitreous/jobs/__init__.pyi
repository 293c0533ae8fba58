"""The public names of the jobs; :mod:`vitreous.lazy` reads this list."""

from vitreous.jobs.checkpoints import load_newest as load_newest
from vitreous.jobs.checkpoints import save_checkpoint as save_checkpoint
from vitreous.jobs.folder import Job as Job
from vitreous.jobs.folder import JobFinished as JobFinished
from vitreous.jobs.folder import JobFolderError as JobFolderError
from vitreous.jobs.folder import job_status as job_status
from vitreous.jobs.folder import open_job as open_job
from vitreous.jobs.history import read_history as read_history
from vitreous.jobs.lock import FolderInUseError as FolderInUseError
from vitreous.jobs.manifest import Manifest as Manifest
from vitreous.jobs.manifest import Run as Run
from vitreous.jobs.manifest import new_manifest as new_manifest
from vitreous.jobs.manifest import read_manifest as read_manifest
from vitreous.jobs.progress import Reporter as Reporter
from vitreous.jobs.progress import describe_duration as describe_duration
from vitreous.jobs.progress import reporting as reporting
from vitreous.jobs.results.class2d import Examples as Examples
from vitreous.jobs.results.class2d import write_examples as write_examples
from vitreous.jobs.results.class2d_relion import SearchSettings as SearchSettings
from vitreous.jobs.results.class2d_relion import write_final as write_final
from vitreous.jobs.results.class2d_relion import write_iteration as write_iteration
from vitreous.jobs.select import SelectionError as SelectionError
from vitreous.jobs.select import SelectResult as SelectResult
from vitreous.jobs.select import select_particles as select_particles
from vitreous.jobs.tasks.table import write_report as write_report
